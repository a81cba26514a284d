"""Where encoders look, measured against boxes: `rrgbench saliency`."""
