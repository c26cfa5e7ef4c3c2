"""Image transforms that params.yaml may name, and the range and unit of their levels."""

TRANSFORMS = {  # name -> (least level, greatest level, unit)
    "rotation": (-360.0, 360.0, "degrees"),
    "gaussian_noise": (0.0, 255.0, "standard deviation in pixel values"),
    "gaussian_blur": (0.0, 100.0, "standard deviation in pixels"),
    "jpeg": (1.0, 100.0, "quality"),
}
PIXEL_LEVELS = {"gaussian_noise"}  # transforms whose levels are pixel values: 0, or 1 and more
