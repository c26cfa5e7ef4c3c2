"""TA-Bench: 5,000 images that ten networks classify correctly, T = 100 steps of 1 within ε = 8, from ResNet-50."""

PROTOCOL = {
    "order": 20,
    "source": "Li et al. 2023, arXiv 2311.01323; github.com/qizhangli/TA-Bench at 740df3f, with timm 0.6.11",
    "dataset": "imagenet",
    "subset": {"images": 5000, "seed": 0, "targets": "random"},
    "models": (
        "resnet50",
        "vgg19_bn",
        "inception_v3",
        "timm_tf_efficientnetv2_m__in1k",
        "timm_convnext_base__fb_in1k",
        "timm_vit_base_patch16_224__augreg_in21k_ft_in1k",
        "timm_deit3_base_patch16_224__fb_in1k",
        "timm_beit_base_patch16_224__in22k_ft_in22k_in1k",
        "timm_swin_base_patch4_window7_224__ms_in22k_ft_in1k",
        "timm_mixer_b16_224__goog_in21k_ft_in1k",
    ),
    "sources": ("resnet50",),
    "chunk": 20,
    "row": {"epsilon": 8, "steps": 100, "step_size": 1},
    "attacks": {
        "igsm": {},
        "migsm": {"update": "momentum", "decay": 1.0},
        "di": {"diversity": 0.5},
        "ti": {"kernel": 7},
        "un": {"gradient": "smoothed", "samples": 1, "noise": "uniform", "radius": 8},
        "vt": {"gradient": "varied", "samples": 20, "radius": 12},
    },
    "open": (
        "Any of the ten networks may be the source: name it in sources.",
        "The repository lists its 5,000 images (data/rand_5000.csv); here as many are drawn, with a seed, from those "
        "that all ten classify correctly.",
        "Each victim crops and resizes the stored images in its own way; here all models share images of 224 px.",
        "NI is no row: its look-ahead by a momentum of L1 norm 1 moves no pixel, so that it is MI.",
        "Attacks on a network's layers, trained sources and generators are no rows.",
    ),
    "rates_from": "the paper; the repository has no table of rates, so that none stand beside ours",
}
