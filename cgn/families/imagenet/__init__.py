"""The ImageNet family: three BigGANs and U²-Net, as they are trained and as they are served."""

NAME = "imagenet"  # in model cards; here, where no import of torch comes with it
