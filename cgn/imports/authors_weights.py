"""Loads files that the paper's authors publish, or that their code starts from, as networks.

- ``cgn.pth``: a whole ImageNet CGN at 256 pixels, 3,206 tensors;
- the weights of biggan-deep-256 (602 tensors) and ``u2net.pth`` (798): the start of that CGN's training;
- ``ckp.pth``: a CGN of colored, double-colored or Wildlife MNIST.

A file may lack the step counters of batch norm, and its names may begin with ``module.``.
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
    """A kind of file, recognised by the beginning of some of its names."""

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
    """Returns the ImageNet CGN of ``cgn.pth``, with the unconstrained cGAN if the file has its tensors.

    Args:
        path: the file.
        sizes: sizes of its networks; the file decides whether there is a reference.

    Raises:
        CgnInputError: an unreadable file, another kind of file, or other tensors than the network's.
    """
    tensors = _read(path, _CGN)
    reference = any(name.startswith(f"{MODULES['reference']}.") for name in tensors)
    with torch.device("meta"):
        network = ImagenetCGN(replace(sizes, reference=reference))
    cure = "give the cgn.pth that the authors publish, or one that their code has saved"
    return _filled(network, fitted(tensors, network.state_dict(), path, cure))


def assemble_cgn(biggan: Path, u2net: Path, sizes: ImagenetSizes = AUTHORS_SIZES) -> ImagenetCGN:
    """Returns the ImageNet CGN that training starts from: one BigGAN as every mechanism (paper section 3.2).

    Args:
        biggan: file with the weights of biggan-deep-256.
        u2net: file with the weights of U²-Net.
        sizes: sizes of the networks.

    Raises:
        CgnInputError: an unreadable file, another kind of file, or other tensors than the network's.
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
    """Returns the MNIST CGN of one of the authors' three ``ckp.pth``, in eval mode.

    Raises:
        CgnInputError: an unreadable file, another kind of file, or other tensors than the network's.
    """
    tensors = _read(path, _MNIST)
    network = AuthorsMnistCGN()
    network.load_state_dict(fitted(tensors, network.state_dict(), path, "give one of the authors' ckp.pth"))
    return network.eval()


def _read(path: Path, expected: _Kind) -> dict[str, torch.Tensor]:
    """Returns the tensors of a file. Raises CgnInputError if it is recognised as another kind."""
    tensors = read_state_dict(path)
    if not expected.is_of(tensors):
        for kind in (_CGN, _BIGGAN, _U2NET, _MNIST):
            if kind.is_of(tensors):
                raise CgnInputError("weights", f"{path} is {kind.what}; {kind.cure}")
    return tensors


def _filled(network: ImagenetCGN, state: Mapping[str, torch.Tensor]) -> ImagenetCGN:
    """Fills a network on the meta device with its own copies of tensors, in eval mode."""
    # Copies: tensors of one file may overlap, and one BigGAN's tensors serve all mechanisms.
    network.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return network.eval()
