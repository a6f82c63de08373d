"""Sources of training images: any part of a stream can be drawn alone."""

import torch

from trainer.classifier.data import Epochs, Images, Interleaved


def numbered(first: int, count: int) -> Images:
    """Images of one pixel whose values, like their labels, count up from ``first``."""
    labels = torch.arange(first, first + count)
    return labels.float().reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1), labels


def test_every_epoch_has_every_image_once_in_another_order() -> None:
    epochs = Epochs(lambda _: numbered(0, 10), seed=1)
    images, labels = epochs.images(0, 40)
    assert images[:, 0, 0, 0].tolist() == labels.tolist()
    orders = [tuple(order.tolist()) for order in labels.reshape(4, 10)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(orders)) == 4


def test_any_part_of_the_epochs_can_be_drawn_alone() -> None:
    def draw(number: int) -> Images:
        return numbered(100 * number, 10)

    whole, labels = Epochs(draw, seed=2).images(0, 35)
    assert [set((part // 100).tolist()) for part in labels.split(10)] == [{0}, {1}, {2}, {3}]
    for start, stop in ((0, 3), (8, 12), (9, 31), (25, 35), (0, 35)):
        part, part_labels = Epochs(draw, seed=2).images(start, stop)
        assert torch.equal(part, whole[start:stop])
        assert torch.equal(part_labels, labels[start:stop])


def test_levels_become_images_in_minus_1_to_1() -> None:
    levels = torch.tensor([0, 255], dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    images, labels = Epochs(lambda _: (levels, torch.tensor([0, 1])), seed=0).images(0, 2)
    for image, label in zip(images, labels, strict=True):
        assert torch.equal(image, torch.full((3, 4, 4), 2.0 * label - 1))


def test_two_interleaved_sources_share_every_even_batch_equally() -> None:
    both = Interleaved(Epochs(lambda _: numbered(0, 8), 0), Epochs(lambda _: numbered(1000, 5), 1))
    _, labels = both.images(0, 60)
    for batch in labels.split(6):
        assert int((batch >= 1000).sum()) == 3
    assert set(labels.tolist()) == {*range(8), *range(1000, 1005)}
    for start, stop in ((0, 1), (3, 10), (4, 9), (59, 60)):
        assert torch.equal(both.images(start, stop)[1], labels[start:stop])
