"""The authors' MNIST CGN as plain arithmetic on named tensors, for tests; and such tensors, random."""

import torch
import torch.nn.functional as F

Tensors = dict[str, torch.Tensor]

LINEAR = {"weight": (64 * 8 * 8, 32 + 10), "bias": (64 * 8 * 8,)}
TEXTURE = {
    **{f"0.{name}": shape for name, shape in LINEAR.items()},
    "3.weight": (64, 64, 3, 3),
    "7.weight": (32, 64, 3, 3),
    "10.weight": (3, 32, 3, 3),
    "10.bias": (3,),
}
SHAPE = {
    **{f"0.{name}": shape for name, shape in LINEAR.items()},
    "4.weight": (32, 64, 3, 3),
    "9.weight": (1, 32, 3, 3),
}
NORMS = {"f_shape": {5: 32, 10: 1}, "f_text1": {4: 64, 8: 32, 11: 3}, "f_text2": {4: 64, 8: 32, 11: 3}}


def random_tensors(seed: int = 0) -> Tensors:
    """Random tensors with the names and shapes of a ckp.pth, with counters of steps."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random)

    result = {"label_emb.weight": normal(10, 10)}
    for module, layers in (("f_shape", SHAPE), ("f_text1", TEXTURE), ("f_text2", TEXTURE)):
        for name, shape in layers.items():
            fan_in = torch.Size(shape[1:]).numel()
            result[f"{module}.{name}"] = normal(*shape) / fan_in**0.5
        for index, width in NORMS[module].items():
            norm = f"{module}.{index}"
            result[f"{norm}.weight"] = 1 + 0.3 * normal(width)
            result[f"{norm}.bias"] = 0.3 * normal(width)
            result[f"{norm}.running_mean"] = 0.3 * normal(width)
            result[f"{norm}.running_var"] = 0.2 + normal(width).square()
            result[f"{norm}.num_batches_tracked"] = torch.tensor(47_000)
    return result


def draw_mask(tensors: Tensors, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
    """(N, 1, 32, 32), the shape mechanism's."""
    x = F.instance_norm(_smallest_map(tensors, "f_shape", u_NL, y_NC))
    x = _convolved(tensors, "f_shape", 4, F.interpolate(x, scale_factor=2))
    x = F.instance_norm(F.leaky_relu(_normed(tensors, "f_shape", 5, x), 0.2))
    x = _convolved(tensors, "f_shape", 9, F.interpolate(x, scale_factor=2))
    x = F.instance_norm(F.leaky_relu(_normed(tensors, "f_shape", 10, x), 0.2))
    return x.clamp(0.0001, 0.9999)


def draw_texture(tensors: Tensors, module: str, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
    """(N, 3, 32, 32), a texture before it is rolled: f_text1 draws the object's, f_text2 the background's."""
    x = _smallest_map(tensors, module, u_NL, y_NC)
    for convolution, norm in ((3, 4), (7, 8)):
        x = _convolved(tensors, module, convolution, F.interpolate(x, scale_factor=2))
        x = F.leaky_relu(_normed(tensors, module, norm, x), 0.2)
    return torch.tanh(_normed(tensors, module, 11, _convolved(tensors, module, 10, x)))


def _smallest_map(tensors: Tensors, module: str, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
    inputs = torch.cat([u_NL, y_NC @ tensors["label_emb.weight"]], dim=1)
    x = F.linear(inputs, tensors[f"{module}.0.weight"], tensors[f"{module}.0.bias"])
    return x.view(-1, 64, 8, 8)


def _convolved(tensors: Tensors, module: str, index: int, x: torch.Tensor) -> torch.Tensor:
    name = f"{module}.{index}"
    return F.conv2d(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), padding=1)


def _normed(tensors: Tensors, module: str, index: int, x: torch.Tensor) -> torch.Tensor:
    mean, var, weight, bias = (
        tensors[f"{module}.{index}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, var, weight, bias)
