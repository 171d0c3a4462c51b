"""Particle sizes as the field reports them: from outlines to descriptors, distributions, and how far both can be trusted.

Nothing here reads a file, a clock or a picture's format: arrays in, numbers out. Lengths keep the unit they come in
(pixels, or micrometres once a `calibration` is applied), and every formula names the standard or paper it is from.

- `descriptors`: size and shape of one particle from its outline (ISO 9276-6).
- `distribution`, `sieving`: sizes of many (ISO 9276-1 and -2), and the sugar industry's mean aperture.
- `frame`: what the picture's edge does to sizes and counts (ISO 13322-1).
- `confidence`, `sample_size`: how far a number would move with other pictures, and how many particles are needed.
- `calibration`, `ruled_lines`: micrometres per pixel, from two points or a picture of an object micrometer.
- `counting`: how many particles there are where some hide others.
"""
