"""The training of CGNs of small images (paper section 3.1), in three stages: joint, segmenter, shape."""
