"""The 1,000 classes of ImageNet (ILSVRC 2012), in the order in which every network of them is trained."""


def class_names() -> list[str]:
    """Names by label index, all distinct: 0 is "tench", 9 "ostrich", 949 "strawberry"."""
    # Not at the top, here and below: these packages are large, and only an import of weights asks for names.
    from torchvision.models import ResNet18_Weights  # type: ignore[import-untyped]

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def class_ids() -> list[str]:
    """WordNet ids by label index: 0 is "n01440764"."""
    from pytorch_pretrained_biggan.utils import IMAGENET  # type: ignore[import-untyped]

    return [f"n{offset:08d}" for offset, _ in sorted(IMAGENET.items(), key=lambda entry: entry[1])]
