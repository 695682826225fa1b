"""How a reproduction's scores are called and written, in the page and in Markdown alike."""

from __future__ import annotations

from collections.abc import Mapping

HEADINGS = {
    "ssim": "SSIM", "psnr": "PSNR (dB)", "mse": "MSE", "person_psnr": "Person PSNR (dB)", "flicker": "Flicker",
    "change_error": "Error of change", "pck": "PCK@0.2", "ssim_piq": "SSIM, piq's", "ms_ssim": "MS-SSIM", "person_ssim": "Person SSIM",
    "face_psnr": "Face PSNR (dB)", "face_ssim": "Face SSIM", "joint_error": "Joint error (torsos)", "lpips": "LPIPS", "dists": "DISTS",
    "temporal_std": "Brightness drift", "fid": "FID", "kid": "KID",
}  # fmt: skip
DIGITS = {"psnr": 2, "mse": 0, "person_psnr": 2, "flicker": 2, "change_error": 4, "pck": 2, "face_psnr": 2, "joint_error": 2,
          "temporal_std": 2}  # fmt: skip
"""Decimals; three for all others."""

EXPLAINED = {
    "ssim": "7 × 7 uniform windows and sample variances, as in the released code, at full resolution; 1 is identical.",
    "psnr": "Mean over frames of each frame's PSNR.",
    "mse": "On the 0–255 scale; the paper's is on the released code's 0–256 scale.",
    "person_psnr": "Inside discs along the skeleton.",
    "flicker": "Mean difference between the generated and the real change from frame to frame (0–255).",
    "change_error": "How far the amount of change, 1 − SSIM of neighbouring frames, is from the real one.",
    "pck": "Share of the driver's joints that a pose estimator finds again in the picture within a fifth of the torso.",
    "joint_error": "Mean distance of the joints that it finds, in torsos.",
    "ssim_piq": "piq's default: 11 × 11 Gaussian windows; pictures of 384 pixels and more are averaged down first.",
    "ms_ssim": "Five scales with Gaussian windows, by piq.",
    "person_ssim": "Inside the rectangle around all joints.",
    "face_psnr": "Inside a square around nose, eyes and ears; frames without a face are left out.",
    "face_ssim": "Likewise.",
    "lpips": "With VGG16, by piq; lower is nearer.",
    "dists": "By piq; lower is nearer.",
    "fid": "Fréchet distance of Inception's features of all scored frames, by piq; with so few frames only good for sets of one size.",
    "kid": "Kernel distance of the same features, by piq; lower is nearer.",
    "temporal_std": "Standard deviation over frames of each frame's mean pixel, as in the released code (0–255).",
}
"""How each score is computed: its protocol."""


def number(value: float, score: str) -> str:
    """A score with its decimals."""
    return f"{value:.{DIGITS.get(score, 3)}f}"


def difference(numbers: Mapping[str, float], score: str) -> str:
    """ "SSIM +0.085 (+0.070 to +0.103; p = 0.008; better on 8 of 8)", of numbers as results.json has them."""
    digits = DIGITS.get(score, 3)
    mean, low, high = (f"{numbers[key]:+.{digits}f}".replace("-", "−") for key in ("difference", "low", "high"))
    return (
        f"{HEADINGS.get(score, score)} {mean} ({low} to {high}; p = {numbers['p']:.3f}; "
        f"better on {numbers['better']:.0f} of {numbers['videos']:.0f})"
    )
