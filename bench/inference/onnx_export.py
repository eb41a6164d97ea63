"""A model of transformers as ONNX graphs: ``python -m bench.inference.onnx_export SOURCE TARGET DTYPE``.

torch's own exporter makes them, from the weights that ``engine=transformers`` loads, in float32. A Whisper model
becomes two graphs:

- ``encoder.onnx``: from the features of windows to the keys and values that each layer of the decoder attends to. Keys
  are stored transposed, as a step of the decoder multiplies by them.
- ``decoder.onnx``: a step. From the tokens of a position, and the keys and values of those before, to the scores of the
  next tokens, all keys and values, and where the heads that follow the speech attend to.

A step takes one token a window, so that the graph needs no mask; what a text starts with is fed token by token.
A CTC model becomes one graph, ``model.onnx``, from samples or features to the scores of each frame.

Every graph's metadata name its opset and the versions of what made it. With int8 the weights of its matrix products
are quantised by onnxruntime (``quantize_dynamic``), which also rounds activations at each product.
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.assets import fingerprint
from bench.assets.cache import cache_root, publish
from bench.assets.models import LocalModel
from bench.config import DType
from bench.errors import AssetError, ModelError

EXPORT_VERSION = 1
"""Part of every entry's name: raise it when the graphs change, and old entries are left behind."""

OPSET = 20
"""The first with an operator of its own for Whisper's activation, GELU."""

_MAKERS = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
_FEWEST, _SEVERAL = 2, 3  # the exporter takes an axis of length 1 for one that is always so long
_WAVE_SAMPLES = 16_000


def ensure_export(model: LocalModel, dtype: DType) -> Path:
    """Folder with the graphs of a model, and its small files, exported at the first call.

    The export runs in a process of its own, whose memory is no part of any measurement; it takes some ten seconds.

    Args:
        model: The model in transformers' format.
        dtype: ``float32`` or ``int8``.

    Raises:
        ModelError: The model cannot be exported.
        AssetError: What exports is not installed, or the cache cannot be written.
    """
    try:
        versions = [f"{maker} {version(maker)}" for maker in _MAKERS]
    except PackageNotFoundError as error:
        raise AssetError(f"engine=onnxruntime needs {error.name}; run: pip install 'asr-sweep[onnx]'") from error
    parts = (model.fingerprint, dtype.value, str(EXPORT_VERSION), str(OPSET), *versions)
    entry = cache_root() / "onnx" / fingerprint.of_parts(parts)

    def build(target: Path) -> None:
        command = [sys.executable, "-m", __name__, str(model.folder), str(target), dtype.value]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if finished.returncode:
            reason = (finished.stderr.strip() or "no reason given").splitlines()[-1]
            raise ModelError(
                f"{model.folder} cannot be exported to ONNX ({reason:.300}); use engine=transformers for this model"
            )

    return publish(entry, build)


def export(source: Path, target: Path, dtype: DType) -> None:
    """Write a model's graphs, and its small files beside them.

    Args:
        source: Folder of a Whisper or CTC model, with safetensors weights.
        target: An empty folder.
        dtype: ``float32`` or ``int8``.

    Raises:
        ModelError: The model is of another family.
        OSError: A file cannot be read or written.
    """
    import torch
    from transformers import MODEL_FOR_CTC_MAPPING, AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq

    settings = AutoConfig.from_pretrained(source, trust_remote_code=False)
    whisper = settings.model_type == "whisper"
    if not whisper and type(settings) not in MODEL_FOR_CTC_MAPPING:
        raise ModelError(f"models of the family {settings.model_type!r} are not exported; only Whisper and CTC models")
    auto = AutoModelForSpeechSeq2Seq if whisper else AutoModelForCTC
    model = auto.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager", use_safetensors=True, trust_remote_code=False
    ).eval()
    with tempfile.TemporaryDirectory(dir=target) as folder:
        for name, graph in (_whisper_graphs(model) if whisper else {"model": _ctc_graph(model)}).items():
            _write(graph, Path(folder), target, f"{name}.onnx", dtype)
    for path in source.iterdir():
        if path.suffix in {".json", ".txt", ".model"}:
            shutil.copyfile(path, target / path.name)


def _whisper_graphs(model: Any) -> dict[str, Any]:
    import torch

    from bench.inference.onnx_modules import EncoderWithKeys, Step

    encoder, step = EncoderWithKeys(model), Step(model)
    settings = model.config
    features = torch.zeros(_FEWEST, settings.num_mel_bins, 2 * settings.max_source_positions)
    tokens = torch.zeros(_FEWEST, 1, dtype=torch.int64)
    axes = (3, 2) * settings.decoder_layers  # of time, in keys and values
    with torch.no_grad():
        cross = encoder(features)
        own = tuple(each.narrow(axis, 0, _SEVERAL) for each, axis in zip(cross, axes, strict=True))
    batch, past = torch.export.Dim("batch", max=4096), torch.export.Dim("past", max=settings.max_target_positions - 1)
    every = {0: batch}
    own_shapes = tuple({0: batch, axis: past} for axis in axes)
    names = [f"{kind}.{layer}" for layer in range(settings.decoder_layers) for kind in ("key", "value")]
    cross_names = [f"cross_{name}" for name in names]
    return {
        "encoder": _exported(encoder, (features,), (every,), ["features"], cross_names),
        "decoder": _exported(
            step,
            (tokens, torch.tensor([_SEVERAL]), own, cross),
            (every, {}, own_shapes, (every,) * len(cross)),
            ["tokens", "position", *names, *cross_names],
            ["scores", "attention", *(f"next_{name}" for name in names)],
        ),
    }


def _ctc_graph(model: Any) -> Any:
    import torch

    from bench.inference.onnx_modules import Frames

    if model.main_input_name != "input_values":
        raise ModelError(f"models of the family {model.config.model_type!r} read spectrograms, and are not exported")
    batch, samples = torch.export.Dim("batch", max=4096), torch.export.Dim("samples", min=400)
    values = torch.zeros(_FEWEST, _WAVE_SAMPLES)
    mask = torch.ones(_FEWEST, _WAVE_SAMPLES, dtype=torch.int64)
    shapes = {0: batch, 1: samples}
    return _exported(Frames(model), (values, mask), (shapes, shapes), ["input_values", "attention_mask"], ["scores"])


def _exported(
    module: Any, inputs: tuple[Any, ...], shapes: tuple[Any, ...], names: Sequence[str], outputs: Sequence[str]
) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own, about what it will do in versions to come
        return torch.onnx.export(
            module,
            inputs,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )


def _write(graph: Any, scratch: Path, target: Path, name: str, dtype: DType) -> None:
    metadata = {f"asr_sweep.{maker}": version(maker) for maker in _MAKERS}
    graph.model.metadata_props.update(metadata | {"asr_sweep.opset": str(OPSET), "asr_sweep.dtype": dtype.value})
    if dtype is not DType.int8:
        graph.save(target / name, external_data=True)  # a graph by itself must not reach 2 GiB
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = scratch / "quantized"
    quantized.mkdir(exist_ok=True)
    graph.save(scratch / name, external_data=True)
    quantize_dynamic(
        scratch / name,
        quantized / name,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    for path in quantized.glob(f"{name}*"):
        shutil.copyfile(path, target / path.name)  # not moved: it keeps weights from everybody but their owner


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]), DType(sys.argv[3]))
