import torch

from conmim_mm.models.layers.attention_patterns import FullAttention

from ...toy import build_model


def test_attention_is_softmax_of_scaled_scores_plus_bias() -> None:
    attention = build_model().backbone.blocks[0].attn
    x, bias = torch.randn(2, 5, 24), torch.randn(2, 5, 5)
    torch.nn.init.normal_(attention.q_bias)
    torch.nn.init.normal_(attention.v_bias)
    weight_q, weight_k, weight_v = attention.qkv.weight.chunk(3)

    def heads(y: torch.Tensor) -> torch.Tensor:
        return y.view(2, 5, 2, 12).transpose(1, 2)

    q = heads(x @ weight_q.T + attention.q_bias)
    k = heads(x @ weight_k.T)
    v = heads(x @ weight_v.T + attention.v_bias)
    scores = q * 12**-0.5 @ k.transpose(-2, -1) + bias
    expected = attention.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 5, 24))
    pattern = FullAttention((2, 2), None)
    pattern.shared = bias
    torch.testing.assert_close(attention(x, pattern), expected)
