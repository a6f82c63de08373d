"""The files that the paper's authors publish, or that their code starts from, as networks of this project.

- ``cgn.pth``: a whole ImageNet CGN at 256 pixels, 3,206 tensors;
- the weights of biggan-deep-256 (602 tensors) and ``u2net.pth`` (798): what they train that CGN from;
- ``ckp.pth``: a CGN of colored, double-colored or Wildlife MNIST.

Steps counted by batch norm may be missing from each, and names may begin with ``module.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cgn.errors import CgnInputError
from cgn.families.imagenet.biggan import BigGANSizes
from cgn.families.imagenet.network import MASK_NETWORK, MODULES, ImagenetCGN, ImagenetSizes
from cgn.families.imagenet.u2net import FULL
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.families.state_dicts import fitted, read_state_dict

AUTHORS_SIZES = ImagenetSizes(BigGANSizes.at(256), FULL)


@dataclass(frozen=True)
class _Kind:
    """What a file may be, told by how some of its names begin."""

    beginning: str
    what: str
    cure: str

    def is_of(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        return any(name.startswith(self.beginning) for name in tensors)


_CGN = _Kind(f"{MODULES['shape']}.generator.", "an ImageNet CGN", "import it as kind cgn")
_BIGGAN = _Kind("generator.", "a BigGAN alone", "import it as kind biggan, with a U²-Net beside it")
_U2NET = _Kind("stage1.", "a U²-Net alone", "give it as --u2net, beside the BigGAN of kind biggan")
_MNIST = _Kind("f_text1.", "an MNIST CGN", "import it as kind mnist")


def load_cgn(path: Path, sizes: ImagenetSizes = AUTHORS_SIZES) -> ImagenetCGN:
    """The ImageNet CGN of ``cgn.pth``, with the unconstrained cGAN if the file has any of it.

    Args:
        path: of the file.
        sizes: of the networks in it; whether they have a reference is taken from the file.

    Raises:
        CgnInputError: an unreadable file, one of another kind, or one that has not exactly these tensors.
    """
    tensors = _read(path, _CGN)
    reference = any(name.startswith(f"{MODULES['reference']}.") for name in tensors)
    with torch.device("meta"):
        network = ImagenetCGN(replace(sizes, reference=reference))
    cure = "give the cgn.pth that the authors publish, or one that their code has saved"
    return _filled(network, fitted(tensors, network.state_dict(), path, cure))


def assemble_cgn(biggan: Path, u2net: Path, sizes: ImagenetSizes = AUTHORS_SIZES) -> ImagenetCGN:
    """The ImageNet CGN that training starts from: one BigGAN as every mechanism (paper section 3.2).

    Args:
        biggan: file of the weights of biggan-deep-256.
        u2net: file of the weights of U²-Net.
        sizes: of the networks in them.

    Raises:
        CgnInputError: an unreadable file, one of another kind, or one that has not exactly these tensors.
    """
    with torch.device("meta"):
        network = ImagenetCGN(sizes)
    cure = "give the pytorch_model.bin of biggan-deep-256"
    drawing = fitted(_read(biggan, _BIGGAN), network.f_shape.state_dict(), biggan, cure)
    cure = "give the u2net.pth of U²-Net's authors, not the small u2netp.pth"
    finding = fitted(_read(u2net, _U2NET), network.u2net.state_dict(), u2net, cure)
    modules = [module for module in MODULES.values() if hasattr(network, module)]
    state = {f"{module}.{name}": tensor for module in modules for name, tensor in drawing.items()}
    return _filled(network, state | {f"{MASK_NETWORK}.{name}": tensor for name, tensor in finding.items()})


def load_mnist(path: Path) -> AuthorsMnistCGN:
    """The MNIST CGN of one of the authors' three ``ckp.pth``, in eval mode.

    Raises:
        CgnInputError: an unreadable file, one of another kind, or one that has not exactly these tensors.
    """
    tensors = _read(path, _MNIST)
    network = AuthorsMnistCGN()
    network.load_state_dict(fitted(tensors, network.state_dict(), path, "give one of the authors' ckp.pth"))
    return network.eval()


def _read(path: Path, wanted: _Kind) -> dict[str, torch.Tensor]:
    """The tensors of a file, which is not plainly of another kind than wanted. Raises CgnInputError."""
    tensors = read_state_dict(path)
    if not wanted.is_of(tensors):
        for kind in (_CGN, _BIGGAN, _U2NET, _MNIST):
            if kind.is_of(tensors):
                raise CgnInputError("weights", f"{path} is {kind.what}; {kind.cure}")
    return tensors


def _filled(network: ImagenetCGN, state: Mapping[str, torch.Tensor]) -> ImagenetCGN:
    """A network on the meta device with tensors of its own, in eval mode."""
    # Copies, for one file's tensors may overlap, and one BigGAN's are those of all mechanisms.
    network.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return network.eval()
