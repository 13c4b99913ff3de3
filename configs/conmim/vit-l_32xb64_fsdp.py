# vit-l_32xb64.py with parameters, gradients and optimizer states shared out among the GPUs (FSDP)
_base_ = './vit-l_32xb64.py'

runner_type = 'FlexibleRunner'
strategy = dict(type='mmengine.ConMIMFSDPStrategy')
