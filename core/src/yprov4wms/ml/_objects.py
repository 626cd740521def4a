"""What can be told of models and data sets by their shape, without importing a framework.

Each function answers with what it knows and leaves out the rest; none of them raises.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from yprov4wms.ml._values import MAX_ITEMS

_CHUNK = 1 << 24


def class_name(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


# -- models ----------------------------------------------------------------------


def model(value: Any) -> dict[str, Any]:
    """Fields of an MLModel event: ``model_class``, ``parameters``, ``attributes``.

    ``parameters`` counts what training adjusts, where the model lists all of it: torch's
    parameters, keras' count, the coefficients and intercepts of scikit-learn's linear
    models and networks. Trees have none; their number and nodes are attributes.
    """
    fields: dict[str, Any] = {"model_class": class_name(value)}
    if isinstance(value, type):
        return fields
    attributes: dict[str, Any] = {}
    # Keras first: on its torch backend a model is one of torch's, too, with the states of its
    # random numbers among the parameters.
    for count in (_keras_parameters, _torch_parameters, _sklearn_parameters):
        if (number := _tried(count, value)) is not None:
            fields["parameters"] = number
            break
    if (number := _tried(_trainable, value)) is not None:
        attributes["trainable_parameters"] = number
    attributes |= _tried(_trees, value) or {}
    settings = _tried(lambda model: model.get_params(deep=False), value)
    if isinstance(settings, dict) and settings:
        attributes["hyperparameters"] = settings
    if attributes:
        fields["attributes"] = attributes
    return fields


def layers(value: Any) -> list[dict[str, Any]]:
    """The layers of a model of PyTorch (its modules that have parameters of their own, or no
    children) or Keras, in order.

    Of each its ``name`` and ``class``, the number of its own ``parameters``, and what it tells
    of its shape.
    """
    found = _tried(_keras_layers, value) or _tried(_torch_layers, value)
    return (found or [])[:MAX_ITEMS]


_SHAPES = (
    *("in_features", "out_features", "in_channels", "out_channels", "kernel_size", "stride"),
    *("padding", "num_embeddings", "embedding_dim", "normalized_shape", "num_features", "p"),
    *("units", "filters", "strides", "rate"),
)


def _torch_layers(model: Any) -> list[dict[str, Any]]:
    found = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own or not any(True for _ in module.children()):
            # One that is not initialised yet has no number.
            count = _tried(lambda own: _total(each.numel() for each in own), own)
            found.append(_layer(name or class_name(module).rpartition(".")[2], module, count))
    return found


def _keras_layers(model: Any) -> list[dict[str, Any]]:
    found = []
    for layer in model.layers:
        if inner := _tried(_keras_layers, layer):
            found += [{**each, "name": f"{layer.name}/{each['name']}"} for each in inner]
        else:
            found.append(_layer(str(layer.name), layer, _tried(_keras_parameters, layer)))
    return found


def _layer(name: str, layer: Any, parameters: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "class": class_name(layer)}
    if parameters is not None:
        found["parameters"] = parameters
    for key in _SHAPES:
        value = getattr(layer, key, None)
        if isinstance(value, int | float | str | tuple | list):
            found[key] = list(value) if isinstance(value, tuple) else value
    return found


def _torch_parameters(model: Any) -> int | None:
    if hasattr(model, "count_params"):
        return None  # of Keras, and not built
    return _total(parameter.numel() for parameter in model.parameters())


def _trainable(model: Any) -> int | None:
    if hasattr(model, "count_params"):
        model.count_params()  # raises where it is not built
        return _total(math.prod(weight.shape) for weight in model.trainable_weights)
    return _total(p.numel() for p in model.parameters() if p.requires_grad)


def _keras_parameters(model: Any) -> int | None:
    return _total([model.count_params()])


def _sklearn_parameters(model: Any) -> int | None:
    if not hasattr(model, "get_params") or hasattr(model, "support_vectors_"):
        return None  # a kernel machine's coef_ is derived, not what was fitted
    if hasattr(model, "coefs_") and hasattr(model, "intercepts_"):
        return _total(math.prod(array.shape) for array in (*model.coefs_, *model.intercepts_))
    count = math.prod(model.coef_.shape)
    if getattr(model, "fit_intercept", True):
        intercept = model.intercept_
        count += math.prod(intercept.shape) if hasattr(intercept, "shape") else 1
    return _total([count])


def _trees(model: Any) -> dict[str, int] | None:
    if hasattr(model, "tree_"):
        return {"trees": 1, "nodes": int(model.tree_.node_count)}
    members = model.estimators_
    flat = list(members.flat) if hasattr(members, "flat") else list(members)
    if not flat:
        return None
    return {"trees": len(flat), "nodes": sum(int(tree.tree_.node_count) for tree in flat)}


def _total(counts: Iterable[Any]) -> int | None:
    total, some = 0, False
    for count in counts:
        if isinstance(count, bool) or int(count) != count:
            return None
        total, some = total + int(count), True
    return total if some else None


# -- data sets -------------------------------------------------------------------


def dataset(value: Any, *, hashed: bool = True) -> dict[str, Any]:
    """Fields of an MLDataset event: ``samples``, ``shape``, ``sha256``, ``attributes``.

    samples: the length of the data set itself, not of a loader's batches. sha256: of NumPy
    arrays and of PyTorch's tensors in memory, over data type, shape and the elements' bytes in
    C order; of what is made of such (a tuple, list or dictionary, a table, a TensorDataset)
    over the names of its parts and their checksums.
    """
    attributes: dict[str, Any] = {"class": class_name(value)}
    source = value
    if _is_batched(value):
        batches = _tried(lambda value: _whole(len(value)), value)
        return {"attributes": attributes | ({} if batches is None else {"batches": batches})}
    if loader := _tried(_loader, value):
        attributes |= loader
        source = value.dataset
    fields: dict[str, Any] = {}
    if (samples := _tried(_samples, source)) is not None:
        fields["samples"] = samples
    if (shape := _tried(_shape, source)) is not None:
        fields["shape"] = shape
    if (types := _tried(_types, source)) is not None:
        attributes["dtype"] = types
    if hashed and (digest := _tried(_fingerprint, source)) is not None:
        fields["sha256"] = digest
        attributes["sha256_of"] = "dtype, shape, elements in C order"
    elif hashed and (digest := _tried(_fingerprint_of_parts, source)) is not None:
        fields["sha256"] = digest
        attributes["sha256_of"] = "of each part: its name, and sha256 of dtype, shape, elements"
    return {**fields, "attributes": attributes}


def _loader(loader: Any) -> dict[str, Any]:
    """A torch DataLoader, or what has its attributes."""
    found = {
        "batch_size": _whole(loader.batch_size),
        "dataset_class": class_name(loader.dataset),
        "batches": _tried(len, loader),
        # A sampler may draw fewer samples than there are, or draw some again.
        "samples_per_epoch": _tried(lambda loader: len(loader.sampler), loader),
    }
    return {key: value for key, value in found.items() if value is not None}


def _is_batched(value: Any) -> bool:
    """Whether its items are batches: Keras' PyDataset, tf.data, loaders of Lightning."""
    packages = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    frameworks = {"keras", "tensorflow", "lightning", "pytorch_lightning"}
    return bool(packages & frameworks) and not hasattr(value, "shape")


def _samples(value: Any) -> int | None:
    """Rows of an array or table, items of a list or data set; None where that is unclear."""
    if hasattr(value, "shape"):
        shape = _shape(value)
        return shape[0] if shape else None
    if isinstance(value, str | bytes | bytearray) or hasattr(value, "__next__"):
        return None  # the length of an iterator is that of its batches, or of what is left
    if isinstance(value, dict | tuple):
        # Columns, or features and labels: their common length, not their number.
        parts = list(value.values()) if isinstance(value, dict) else list(value)
        lengths = {_samples(part) for part in parts if hasattr(part, "shape")}
        together = len(lengths) == 1 and all(hasattr(part, "shape") for part in parts)
        return lengths.pop() if together else None
    return _whole(len(value))


def _shape(value: Any) -> list[int] | None:
    shape = [_whole(size) for size in value.shape]
    return None if None in shape else [size for size in shape if size is not None]


def _types(value: Any) -> Any:
    if hasattr(value, "dtypes") and hasattr(value, "columns"):
        columns = list(zip(value.columns, value.dtypes, strict=True))
        return {str(name): str(kind) for name, kind in columns[:MAX_ITEMS]}
    return str(value.dtype)


def _fingerprint_of_parts(value: Any) -> str | None:
    """None where a part is none that has a checksum."""
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, tuple | list):
        parts = list(enumerate(value))
    elif class_name(value) == "torch.utils.data.dataset.TensorDataset":
        parts = list(enumerate(value.tensors))
    elif class_name(value).startswith("pandas.") and hasattr(value, "columns"):
        parts = [(name, column.to_numpy()) for name, column in value.items()]
    else:
        return None
    if not parts or len(parts) > MAX_ITEMS:
        return None
    digest = hashlib.sha256()
    for name, part in parts:
        sha256 = _tried(_fingerprint, part)
        if sha256 is None:
            return None
        digest.update(json.dumps([str(name), sha256]).encode() + b"\n")
    return digest.hexdigest()


def _fingerprint(array: Any) -> str | None:
    if class_name(array) == "torch.Tensor" and array.device.type == "cpu":
        array = array.detach().numpy()
    # Of subclasses it is not known what else they hold: a mask, a unit.
    if class_name(array) not in ("numpy.ndarray", "numpy.memmap") or array.dtype.hasobject:
        return None
    head = json.dumps([array.dtype.descr, list(array.shape)], separators=(",", ":"))
    digest = hashlib.sha256(head.encode() + b"\n")
    if array.size == 0:
        return digest.hexdigest()
    if array.flags.c_contiguous:
        digest.update(array.reshape(-1).view("u1").data)
        return digest.hexdigest()
    rows = max(1, _CHUNK * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        digest.update(array[start : start + rows].tobytes())
    return digest.hexdigest()


def _whole(value: Any) -> int | None:
    return None if value is None or isinstance(value, bool) else int(value)


def _tried(ask: Callable[[Any], Any], value: Any) -> Any:
    """Properties of foreign objects may raise anything: an unknown is left out."""
    try:
        return ask(value)
    except Exception:
        return None
