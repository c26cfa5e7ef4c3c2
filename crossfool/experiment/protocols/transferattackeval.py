"""TransferAttackEval: 5,000 images, T up to 100 steps of 2 within ε = 16, scored every 5, among four networks."""

PROTOCOL = {
    "order": 30,
    "source": "Zhao et al. 2023, arXiv 2310.11850; github.com/ZhengyuZhao/TransferAttackEval at aa76330",
    "dataset": "imagenet",
    "subset": {"images": 5000, "seed": 0, "targets": "random"},
    "models": ("inception_v3", "resnet50", "densenet121", "vgg19_bn"),
    "sources": ("inception_v3", "resnet50", "densenet121", "vgg19_bn"),
    "chunk": 20,
    "row": {
        "epsilon": 16,
        "steps": 100,
        "step_size": 2,
        "record_steps": (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95),
    },
    "attacks": {
        "pgd": {},
        "migsm": {"update": "momentum", "decay": 1.0},
        "ni": {"update": "nesterov", "decay": 1.0},
        "di": {
            "steps": 50,
            "record_steps": (5, 10, 15, 20, 25, 30, 35, 40, 45),
            "gradient": "smoothed",
            "samples": 5,
            "sigma": 0,
            "diversity": 0.7,
        },
        "ti": {"steps": 50, "record_steps": (5, 10, 15, 20, 25, 30, 35, 40, 45), "kernel": 5},
        "si": {"steps": 50, "record_steps": (5, 10, 15, 20, 25, 30, 35, 40, 45), "scales": 5},
        "vt": {
            "steps": 50,
            "record_steps": (5, 10, 15, 20, 25, 30, 35, 40, 45),
            "gradient": "varied",
            "samples": 5,
            "radius": 24,
        },
    },
    "open": (
        "The repository lists its images (TransF5000_val.json, five a class); here 5,000 are drawn, with a seed, from "
        "those that all four networks classify correctly.",
        "Each source takes images of its own side, 299 px for Inception-v3; here all models share images of 224 px.",
        "PGD has no random start in the code, so that it is the paper's IGSM.",
        "DI is the mean over five copies a step, by smoothing without noise; TI translates five copies in the code, "
        "and convolves the gradient here.",
        "Snapshots are whole copies of a cell's images: fewer record_steps take less room.",
    ),
    "rates_from": "the paper; the repository has no table of rates, so that none stand beside ours",
}
