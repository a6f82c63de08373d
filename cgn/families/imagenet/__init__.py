"""The paper's CGN for ImageNet: three BigGANs and a U²-Net that predicts the mask."""
