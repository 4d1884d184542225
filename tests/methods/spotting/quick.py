"""Options of an AEM-Net that trains in a second."""

NETWORK = {
    "streams": ["i3d_rgb"], "stem_channels": [8, 8, 8], "channels": 16, "attention_channels": 16, "head_channels": 16,
    "stem_stride": 1,
}  # fmt: skip
QUICK = {"network": NETWORK, "epochs": 2, "warmup_epochs": 1, "batch_size": 8, "test_stride_frames": 64}
