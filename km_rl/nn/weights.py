"""Weights on disk: a safetensors file whose header says which model it is and how to build it.

Nothing is unpickled, so a file from a stranger cannot run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, contiguous_format, nn

from km_rl.errors import InputError
from km_rl.files import written_beside

if TYPE_CHECKING:
    from typing_extensions import Self


class SelfDescribing(nn.Module):
    """A model that saves itself together with the arguments that build it.

    Attributes:
        kind: what the file says it holds.
        spec: the arguments of `build`; empty if the model was put together by hand.
    """

    kind: ClassVar[str]
    spec: dict[str, Any]

    @classmethod
    def build(cls, *args: Any, **spec: Any) -> Self:
        """The model that these arguments describe."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write weights and the arguments of `build` to one safetensors file.

        Raises:
            InputError: the file cannot be written, or the model did not come from `build`.
        """
        if not self.spec:
            raise InputError(
                f"This {type(self).__name__} was put together from nets of your own, so a file "
                f"cannot say how to build it: save its state_dict(), or make it by `.build`."
            )
        save_weights(path, self.kind, self.spec, self)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read back what `save` wrote, ready to evaluate.

        Raises:
            InputError: no such file, not a weights file, another kind of model or other shapes.
        """
        spec, state = load_weights(path, cls.kind)
        try:
            model = cls.build(**spec)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"'{path}' describes a model that this version cannot build ({error}): "
                f"load it with the version that wrote it."
            ) from error
        fill(model, state, path)
        return model.eval()

    @classmethod
    def from_run(cls, folder: str | Path) -> Self:
        """The model of a run folder, ready to evaluate; errors as `load`."""
        return cls.load(Path(folder) / "model.safetensors")


def save_weights(path: str | Path, kind: str, spec: Mapping[str, Any], model: nn.Module) -> None:
    """Write the model's tensors with its ``kind`` and the arguments that build it, ``spec``.

    Raises:
        InputError: the file cannot be written.
    """
    state = model.state_dict()  # names may share a tensor, which safetensors refuses
    tensors = {k: x.detach().clone(memory_format=contiguous_format) for k, x in state.items()}
    header = {"kind": kind, "spec": json.dumps(dict(spec))}
    try:
        with written_beside(path) as beside:
            save_file(tensors, beside, metadata=header)
    except SafetensorError as error:
        raise InputError(
            f"'{path}' cannot be written ({error}): give a folder that exists and is writable."
        ) from error


def load_weights(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read back (spec, state dict).

    Raises:
        InputError: no such file, not a complete safetensors file, or another kind of model.
    """
    found, spec, state = read_weights(path)
    if found != kind:
        raise InputError(
            f"'{path}' holds a model of kind '{found}' where '{kind}' is expected: "
            f"load it with the class of its kind, or give another file."
        )
    return spec, state


def read_weights(path: str | Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Read back (kind, spec, state dict) of any model; errors as `load_weights`."""
    if Path(path).is_dir():
        raise InputError(
            f"'{path}' is a folder where a file of weights is expected: give the .safetensors in "
            f"it, or load a run folder by .from_run."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
        spec = json.loads(header["spec"])
        spec = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
        return header["kind"], spec, state
    except FileNotFoundError as error:
        raise InputError(
            f"There are no weights at '{path}': give a file of weights, such as a run folder has "
            f"that has finished a checkpoint."
        ) from error
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{path}' is not a complete weights file of km_rl ({error}): "
            f"a safetensors file with 'kind' and 'spec' is expected; train or copy it again."
        ) from error


def fill(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load ``state`` into ``model``.

    Raises:
        InputError: names or shapes differ; the first that does is named.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | state.keys()):
        given = tuple(state[name].shape) if name in state else "nothing"
        wanted = tuple(own[name].shape) if name in own else "nothing"
        if given != wanted:
            raise InputError(
                f"'{source}' holds {given} for '{name}' where this model has {wanted}: "
                f"build the model with the sizes it was trained with, or load it by `.load`."
            )
    model.load_state_dict(state)
