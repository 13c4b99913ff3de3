"""How each tool that a document names is known to work. Extend this when a document names more.

A command without a mark has to be in ``RUN_HERE`` or in ``RUN_BY_TESTS``, or to be one of the
words of the shell that ``checks.py`` knows.
"""

TOOLS = 'tests/test_tools/'
COMMANDS = 'tests/test_commands/'
APIS = 'tests/test_apis/'
SCRIPTS = 'tests/test_visualization/test_scripts.py'

# Pages whose commands are run as they are, one after the other.
TUTORIALS = ('docs/satellite.md', 'docs/xrays.md')

# Tools that are run as the document has them, and what is added to make that cheap (of an option
# that is given twice the last one counts).
RUN_HERE = {
    'tools/benchmarks/bench_data.py': '--images 2 --rounds 1 --workers 0 --batch 2',
    'tools/benchmarks/cost_model.py': '',
    'tools/dataset_converters/make_scenes.py': '--images 12 --size 32',
    'tools/dataset_converters/make_shards.py': '--workers 1',
    'tools/model_converters/publish_model.py': '',
}
# What they hold as constants and take less of here.
SHORTER = {'tools/benchmarks/bench_data.py': {'LOADER_SECONDS': 0.1}}
# Trainings that are run here, by config, with settings that make them two steps.
TRAINED_HERE = {
    'configs/conmim/vit-tiny_1xb8_images-224px.py':
        'train_cfg.max_iters=2 param_scheduler.warmup=1 train_dataloader.batch_size=2 '
        'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False',
}

# What a reader puts own files for, and what stands for it here (folders of conftest's workspace).
# Any other path of a document is made below the workspace, which is the working directory.
PLACEHOLDERS = {
    '/my/photos': 'photos', '/path/to/photos': 'photos', 'PHOTOS': 'photos', 'IMAGES': 'photos',
    '~/photos': 'photos',
    'data/imagenet/train': 'photos',
    'CHECKPOINT': 'run/epoch_2.pth',
    'work_dirs/photos': 'run', 'WORK_DIR': 'run',
    'OUT': 'out.pth', 'OUT_DIR': 'published',
}

# Tools that a test runs for real; the longest key that a command begins with counts. The command's
# own arguments are checked by the tool's parser all the same, and its config is read.
RUN_BY_TESTS = {
    'conmim compare': f'{APIS}test_compare.py::test_each_as_by_itself',
    'conmim doctor': f'{COMMANDS}test_doctor.py',
    'conmim embed': f'{APIS}test_feature_file.py::test_embed_npz',
    'conmim export': f'{COMMANDS}test_commands.py::test_other_libraries',
    'conmim export CHECKPOINT backbone.onnx': 'tests/test_formats/test_onnx.py::test_any_batch',
    'conmim export CHECKPOINT maps.onnx': 'tests/test_formats/test_onnx.py::test_any_batch',
    'conmim knn': f'{COMMANDS}test_commands.py::test_accuracy',
    'conmim knn CHECKPOINT --config': f'{APIS}test_evaluate.py::test_images_of_a_config',
    'conmim knn CHECKPOINT --data /my/camvid': f'{APIS}test_dense_evaluation.py::test_mean_iou',
    'conmim linear CHECKPOINT --data /my/camvid': f'{APIS}test_dense_evaluation.py::test_mean_iou',
    'conmim linear': f'{COMMANDS}test_commands.py::test_accuracy',
    'conmim pretrain': f'{COMMANDS}test_pretrain.py::test_the_run',
    'conmim pretrain --data /my/tiles':
        f'{APIS}test_pretraining/test_image_reading.py::test_a_run',
    'conmim pretrain --data /my/x-rays':
        f'{APIS}test_pretraining/test_image_reading.py::test_a_run',
    'conmim report': f'{COMMANDS}test_commands.py::test_report',
    'tools/benchmarks/bench_reading.py':
        f'{TOOLS}test_bench_reading.py::test_each_way_is_measured',
    'tools/benchmarks/bench_step.py': f'{TOOLS}test_bench_step.py::test_two_processes_for_real',
    'tools/benchmarks/model_size.py':
        'tests/test_model_index.py::test_the_tool_counts_the_same_operations',
    'tools/demo/demo.py': f'{TOOLS}test_demo.py::test_scenes_then_repeat_then_other_settings',
    'tools/demo/demo_transfer.py':
        f'{TOOLS}test_demo_transfer.py::test_three_tasks_twice_then_repeated',
    'tools/model_converters/conmim_to_mm.py':
        f'{TOOLS}test_conmim_to_mm.py::test_pretraining_checkpoint_loads_strictly',
    'tools/reliability/fuzz.py': f'{TOOLS}test_reliability/test_fuzz.py::test_no_fault',
    'tools/reliability/kill_and_resume.py':
        f'{TOOLS}test_reliability/test_kill_and_resume.py::test_kills_lose_nothing',
    'tools/studies/run.py':
        f'{TOOLS}test_studies/test_run.py::test_a_study_goes_on_and_reports',
    'tools/test.py': f'{TOOLS}test_test.py::test_metrics_predictions_and_pictures',
    'tools/train.py':
        f'{TOOLS}test_train.py::test_trains_into_the_default_folder_and_resumes',
    'tools/train.py configs/classification/':
        f'{TOOLS}test_demo_transfer.py::test_three_tasks_twice_then_repeated',
    'tools/train.py configs/detection/':
        f'{TOOLS}test_demo_transfer.py::test_three_tasks_twice_then_repeated',
    'tools/train.py configs/segmentation/':
        f'{TOOLS}test_demo_transfer.py::test_three_tasks_twice_then_repeated',
    'tools/visualization/attention.py': SCRIPTS,
    'tools/visualization/browse_dataset.py': SCRIPTS,
    'tools/visualization/explain.py': SCRIPTS,
    'tools/visualization/feature_map.py': SCRIPTS,
}
