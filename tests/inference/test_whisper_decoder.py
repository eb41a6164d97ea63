"""The decode loop against the library's ``generate``, on tiny random models whose windows end at different lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, GenerationMixin, WhisperConfig, WhisperForConditionalGeneration

from bench.inference.whisper_decoder import Decoder, greedy

START, END, MOST = 0, 1, 24


def _model(seed: int, max_target_positions: int = MOST) -> WhisperForConditionalGeneration:
    config = WhisperConfig(
        vocab_size=12,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_mel_bins=8,
        max_source_positions=10,
        max_target_positions=max_target_positions,
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=START,  # its embedding is all zeros; the end would hardly ever win with those
        init_std=0.5,  # with the usual 0.02 one token follows itself for ever
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape)  # biases begin as zeros, and would hide a lost one
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START, eos_token_id=END, pad_token_id=START, max_length=max_target_positions
    )
    return model


def _features(model: WhisperForConditionalGeneration, windows: int) -> torch.Tensor:
    return torch.randn(windows, model.config.num_mel_bins, 2 * model.config.max_source_positions)


def _generated(model: WhisperForConditionalGeneration, features: torch.Tensor) -> list[list[int]]:
    """Each window by itself, as the library's general ``generate`` decodes it, without Whisper's own around it."""
    texts = []
    for window in torch.split(features, 1):
        ids = GenerationMixin.generate(model, window, num_beams=1, do_sample=False)[0].tolist()[1:]
        texts.append(ids[: ids.index(END)] if END in ids else ids)
    return texts


@torch.inference_mode()
def _decoded(
    model: WhisperForConditionalGeneration, features: torch.Tensor, rows: int, end: int | None = END
) -> list[list[int]]:
    encoded = model.get_encoder()(features).last_hidden_state
    decoder, most = Decoder(model, rows), model.config.max_target_positions
    prefix = torch.full((len(features), 1), START)
    return greedy(decoder, decoder.remember(encoded, most), prefix, [], end, most)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), windows=st.integers(1, 9))
def test_tokens_are_those_of_generate(seed: int, windows: int) -> None:
    model = _model(seed)
    features = _features(model, windows)
    assert _decoded(model, features, windows) == _generated(model, features)


def test_windows_that_leave_the_batch_keep_their_places() -> None:
    """The windows of this batch end at many different lengths, some at none."""
    model = _model(17)
    features = _features(model, 40)
    texts = _generated(model, features)
    assert len({len(text) for text in texts}) >= 10
    assert sum(len(text) == MOST - 1 for text in texts) >= 10
    assert len({tuple(text) for text in texts}) >= 30
    for size in (1, 3, 8, 40):
        ours = [text for part in torch.split(features, size) for text in _decoded(model, part, size)]
        assert ours == texts, size


def test_without_an_end_every_window_is_as_long_as_allowed() -> None:
    model = _model(17)
    features = _features(model, 12)
    ended, endless = _decoded(model, features, 12), _decoded(model, features, 12, end=None)
    assert {len(text) for text in endless} == {MOST - 1}
    assert [text[: len(short)] for text, short in zip(endless, ended, strict=True)] == ended
    assert endless != ended


def test_a_processor_sees_the_sequences_of_the_windows_that_go_on() -> None:
    """Token 2 is ruled out right after token 3, window by window, in ours and in a loop over whole sequences."""
    model = _model(4)
    features = _features(model, 40)

    def no_two_after_three(sequences: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.clone()
        scores[sequences[:, -1] == 3, 2] = -torch.inf
        return scores

    with torch.inference_mode():
        encoded = model.get_encoder()(features).last_hidden_state
        prefix = torch.full((40, 1), START)
        decoder = Decoder(model, 40)
        ours = greedy(decoder, decoder.remember(encoded, MOST), prefix, [no_two_after_three], END, MOST)
        expected = []
        for window in torch.split(features, 1):
            ids = torch.full((1, 1), START)
            while ids.shape[1] < MOST:
                logits = model(window, decoder_input_ids=ids).logits[:, -1]
                chosen = no_two_after_three(ids, logits).argmax(-1, keepdim=True)
                if chosen.item() == END:
                    break
                ids = torch.cat([ids, chosen], dim=1)
            expected.append(ids[0, 1:].tolist())
    assert ours == expected
    assert ours != _decoded(model, features, 40)  # the rule did forbid something


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_are_those_of_the_model(dtype: torch.dtype) -> None:
    """Fed token by token after a prefix of two, as the model is fed everything at once."""
    model = _model(1).to(dtype)
    features = _features(model, 4).to(dtype)
    tokens = torch.randint(0, 12, (4, 9))
    with torch.inference_mode():
        expected = model(features, decoder_input_ids=tokens).logits.float()
        decoder = Decoder(model, 4)
        memory = decoder.remember(model.get_encoder()(features).last_hidden_state, 9)
        ours = [decoder.logits(tokens[:, :2], memory)]
        ours += [decoder.logits(tokens[:, at : at + 1], memory) for at in range(2, 9)]
    tolerance = 64 * torch.finfo(dtype).eps * float(expected.abs().max())
    assert torch.stack(ours, 1).dtype == torch.float32
    assert torch.allclose(torch.stack(ours, 1), expected[:, 1:], rtol=0, atol=tolerance)


def test_cross_queries_and_keys_give_the_attention_that_the_model_reports() -> None:
    model = _model(2)
    model.set_attn_implementation("eager")
    features = _features(model, 3)
    tokens = torch.randint(0, 12, (3, 7))
    with torch.inference_mode():
        expected = model(features, decoder_input_ids=tokens, output_attentions=True).cross_attentions
        decoder = Decoder(model, 3)
        memory = decoder.remember(model.get_encoder()(features).last_hidden_state, 7)
        queries = decoder.cross_queries(tokens, memory, slice(0, 3))
    assert len(queries) == len(expected) == 2
    for asked, (keys, _), weights in zip(queries, memory.cross, expected, strict=True):
        assert torch.allclose(torch.softmax(asked @ keys.transpose(2, 3), -1), weights, atol=1e-5)
