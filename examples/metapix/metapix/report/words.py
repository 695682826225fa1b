"""The report's words: names of starts, metrics and settings for people, and the paper's own table."""

from __future__ import annotations

from dataclasses import dataclass

CREDIT = "MetaPix: Few-Shot Video Retargeting (Lee, Ramanan and Girdhar, ICLR 2020)"


@dataclass(frozen=True)
class Metric:
    """A column of scores: how to show it and which way is better."""

    key: str
    heading: str
    unit: str
    digits: int
    higher_is_better: bool
    explanation: str


METRICS = (
    Metric("ssim", "SSIM", "", 3, True,
           "How alike the structure of two pictures is, in windows of 7 × 7 pixels: 1 is identical, 0 is unrelated."),
    Metric("psnr", "PSNR", "dB", 2, True,
           "The error against the real frame on a logarithmic scale; 1 dB more is about a fifth less squared error."),
    Metric("person_psnr", "Person PSNR", "dB", 2, True,
           "PSNR counted only where the person is: the part one looks at, and the hardest."),
    Metric("mse", "MSE", "", 0, False,
           "Mean squared error of a pixel on the 0–255 scale."),
    Metric("temporal_std", "Brightness drift", "", 2, False,
           "How much the average brightness wavers from frame to frame (0–255 scale). "
           "Lower is steadier, but a frozen picture scores 0, so read it beside the others."),
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a personalised network starts from, or what stands in for one."""

    name: str
    note: str
    short: str


STARTS = {
    "metapix": Start("MetaPix", "meta-learned start", "MetaPix"),
    "pretrain-equal-steps": Start("pretrained, equal extra steps", "the fair baseline", "fair baseline"),
    "pretrain": Start("pretrained", "no extra steps", "pretrained"),
    "random": Start("random weights", "no prior knowledge", "random"),
    "nearest-frame": Start("nearest frame", "copies, learns nothing", "nearest frame"),
    "puppet": Start("puppet", "moves cut-out limbs, learns nothing", "puppet"),
}


def variant_words(variant: str) -> str:
    """A line's or curve's name for people: ``"metapix, trained alike"`` is MetaPix trained alike; other names stay as they are."""
    if variant in STARTS:
        return STARTS[variant].name
    return variant.replace("metapix, ", "MetaPix ", 1) if variant.startswith("metapix, ") else variant


DATA = {"real": "Real people on video", "drawn": "Drawn people", "drawn and real": "Drawn people, and real ones on video"}

REFERENCES = {
    "puppet": (
        "starting from the puppet",
        "The network sees the pose, the empty room and a puppet moved limb by limb, and improves on it.",
    ),
    "plate": ("with the empty room", "The network sees the pose and is given the room without the person (the plate)."),
    "none": ("pose only", "The network sees nothing but the pose, as in the paper: person and room must come from its weights."),
}

MODELS = {"Posewarp": "Posewarp is also given one of the K frames, the one with the nearest pose, and moves its person limb by limb."}
"""What to know of a model that is not Pix2PixHD."""

PROTOCOL = (
    "Every person in these tables was left out of training. A network gets K frames of the person, takes T steps on them, and then draws "
    "the person's later frames, which it has not seen, from their poses; each drawn frame is compared with the real one. "
    "Scores are averaged over a person's frames first and over people second; ± is the spread from person to person "
    "(sample standard deviation). The fair baseline trained for as many extra steps as the meta-training took, in the ordinary way."
)

CONSENT = (
    "The people moving on this page were drawn by a network or a puppet, except where a caption says real. Someone shown in a "
    "retargeted video never made those moves. Personalise only footage of people who have agreed to it and know what it is for. Say that a "
    "result is synthetic wherever you share it, and never use one to deceive, to mock, or to put a person where they would not wish to be."
)

PAPER_COLUMNS = ("Model", "Start", "K", "T", "SSIM", "PSNR", "MSE")
PAPER_TABLE_1 = (
    ("Pix2PixHD", "random", "all", "all", ".68", "19.56", "2427.18"),
    ("Pix2PixHD", "pretrain", "all", "all", ".69", "19.31", "2673.40"),
    ("Pix2PixHD", "random", "5", "20", ".08", "9.51", "7801.19"),
    ("Pix2PixHD", "pretrain", "5", "20", ".35", "12.00", "5576.28"),
    ("Pix2PixHD", "MetaPix", "5", "20", ".39", "13.73", "4696.00"),
    ("Posewarp", "pretrain", "all", "all", ".58", "17.51", "2901.13"),
    ("Posewarp", "random", "5", "20", ".40", "12.25", "4670.81"),
    ("Posewarp", "pretrain", "5", "20", ".55", "16.53", "3140.91"),
    ("Posewarp", "MetaPix", "5", "20", ".56", "16.94", "2962.67"),
)
"""Table 1 of the paper, as printed."""

PAPER_NOTE = (
    "These are the paper's numbers on the paper's own data: eight YouTube videos at 512 × 512, ten more for training, a day on four GPUs. "
    "They are here for context; their MSE is on the released code's 0–256 scale. "
    "They are not comparable with the tables above, which measure other footage."
)
