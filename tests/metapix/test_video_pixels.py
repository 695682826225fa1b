"""Pixels: what a file's metadata asks for is done to its pictures: orientation, dynamic range, transparency, fields, pixel shape, edits."""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from av.video.format import VideoFormat
from metapix.data.hdr import HLG, PQ, to_sdr
from metapix.data.video import probe, read_video
from metapix.data.video_pixels import upright
from metapix.errors import InputError
from numpy.typing import NDArray

from tests.metapix.recordings import beeps, record
from tests.metapix.test_sound import remade
from tests.metapix.test_video import moving_picture, psnr

COLOURS = ((200, 40, 40), (40, 180, 60), (50, 70, 210), (220, 220, 220))


def quarters(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    picture = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 2)
        picture[row * height // 2 : (row + 1) * height // 2, column * width // 2 : (column + 1) * width // 2] = colour
    return picture


def distance(image: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """The mean difference in grey levels."""
    assert image.shape == expected.shape
    return float(np.abs(image.astype(float) - expected).mean())


def with_matrix(path: Path, *matrix: float) -> Path:
    """The file with a, b, c, d in the display matrix of its video track (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd")
    place += 8 + (20 if data[place + 4] == 0 else 32) + 16
    a, b, c, d = (round(65536 * number) for number in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


ORIENTATIONS = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "90 degrees clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "180 degrees": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "90 degrees counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down and mirrored": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transverse": ((0, -1, -1, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    "90 degrees, of twice the scale": ((0, 2, -2, 0), lambda image: np.rot90(image, -1)),
    "a degree off": ((0.9998, 0.0175, -0.0175, 0.9998), lambda image: image),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_orientation_is_undone(tmp_path: Path, name: str) -> None:
    matrix, turned = ORIENTATIONS[name]
    path = with_matrix(record(tmp_path / "a.mp4", [quarters()] * 2, [0, 0.04]), *matrix)
    assert distance(next(read_video(path)).image, turned(quarters())) < 3
    expected = turned(quarters()).shape
    assert (probe(path).width, probe(path).height) == expected[1::-1]


def test_a_turned_picture_with_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "12"})
        stream.height, stream.width, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(64, 48), format="rgb24")))
        container.mux(stream.encode(None))
    image = next(read_video(with_matrix(path, 0, 1, -1, 0))).image
    assert image.shape == (96, 64, 3)
    assert distance(image[4:-4:8, 4:-4:8], np.rot90(quarters(64, 96), -1)[4:-4:8, 4:-4:8]) < 4


def test_other_angles_are_refused(tmp_path: Path) -> None:
    path = with_matrix(record(tmp_path / "a.mp4", [quarters()] * 2, [0, 0.04]), 0.866, 0.5, -0.5, 0.866)
    with pytest.raises(InputError, match=r"a\.mp4 is to be shown turned by 30 degrees; only quarter turns can be undone"):
        list(read_video(path))
    assert np.array_equal(upright(quarters(), np.zeros((2, 2))), quarters())


def linear(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Light of sRGB colours (IEC 61966-2-1)."""
    signal = picture / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084's signal of light, where 1 is 10,000 cd/m2."""
    power = np.clip(light, 0, 1) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2100's HLG signal of scene light."""
    high = 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
    return np.where(light <= 1 / 12, np.sqrt(3 * np.maximum(light, 0)), high)


def hdr_video(path: Path, signal: NDArray[np.float64], transfer: int) -> Path:
    """A video in 10 bits, BT.2020's matrix, of R'G'B' in [0, 1]."""
    luma = signal @ np.array([0.2627, 0.678, 0.0593])
    planes = (luma * 876 + 64, (signal[..., 2] - luma) / 1.8814 * 896 + 512, (signal[..., 0] - luma) / 1.4746 * 896 + 512)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = *signal.shape[:2], "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        for _ in range(2):
            picture = av.VideoFrame(signal.shape[1], signal.shape[0], "yuv420p10le")
            for number, (values, plane) in enumerate(zip(planes, picture.planes, strict=True)):
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = np.rint(values if number == 0 else values[::2, ::2])
                plane.update(rows.tobytes())
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("transfer", "signal_of"), [(PQ, lambda light: pq(light * 203 / 10000)), (HLG, lambda light: hlg(light * 0.265))])
def test_hdr_is_shown_as_the_colours_it_means(tmp_path: Path, transfer: int, signal_of) -> None:  # type: ignore[no-untyped-def]
    path = hdr_video(tmp_path / "hdr.mp4", signal_of(linear(quarters()) @ TO_BT2020.T), transfer)
    image = next(read_video(path)).image
    for row, column in np.ndindex(2, 2):
        middle = slice(32 * row + 8, 32 * row + 24), slice(48 * column + 8, 48 * column + 40)
        assert image[middle].mean((0, 1)) == pytest.approx(COLOURS[2 * row + column], abs=4)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_a_grey_ramp_never_turns_back_and_highlights_end_at_white(transfer: int) -> None:
    ramp = np.repeat(np.arange(0, 65536, 16, dtype=np.uint16)[:, None, None], 3, axis=2)
    shown = to_sdr(ramp, transfer, 9)[:, 0].astype(int)
    assert (np.diff(shown, axis=0) >= 0).all()
    assert np.ptp(shown, axis=1).max() <= 1, "grey stays grey"
    assert (shown[0].max(), shown[-1].min()) == (0, 255)
    white = round({PQ: float(pq(np.array(203 / 10000))), HLG: 0.75}[transfer] * 65535)
    assert to_sdr(np.full((1, 1, 3), white, np.uint16), transfer, 9).min() == pytest.approx(250, abs=1)


def test_primaries_of_hdr_are_heeded() -> None:
    red = np.array([[[0.6, 0.2, 0.2]]])
    signal = np.rint(pq(red * 203 / 10000) * 65535).astype(np.uint16)
    as_709, as_p3, as_2020 = (to_sdr(signal, PQ, primaries)[0, 0].astype(int) for primaries in (1, 12, 9))
    assert as_709.tolist() == pytest.approx([203, 124, 124], abs=1)  # sRGB's signal of 0.6 and 0.2
    assert as_709[0] < as_p3[0] < as_2020[0]
    assert as_709[1] > as_p3[1] > as_2020[1]


def test_matrices_that_are_not_known_here_are_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "a.mp4", [quarters()] * 2, [0, 0.04], tags={"colorspace": 14, "color_trc": HLG, "color_primaries": 9})
    with pytest.raises(InputError, match=r"matrix 14 of ITU-T H\.273"):
        list(read_video(path))


@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le"), ("prores_ks", "yuv422p10le")])
def test_tags_that_only_the_container_has_are_heeded(tmp_path: Path, codec: str, pixels: str) -> None:
    options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {}
    grey = [np.full((64, 96, 3), 148, np.uint8)] * 2  # 58% of the signal: PQ's white
    plain = record(tmp_path / "plain.mov", grey, [0, 0.04], codec=codec, pixels=pixels, options=options)
    path = tmp_path / "tagged.mov"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = PQ, 9, 9, 1
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert next(read_video(plain)).image.mean() == pytest.approx(148, abs=2)
    assert next(read_video(path)).image.mean() == pytest.approx(250, abs=2)


def transparent(path: Path, codec: str, pixels: str) -> Path:
    """Quarters whose left half is hidden, and half hidden in the bottom right quarter."""
    picture = np.dstack([quarters(), np.full((64, 96), 255, np.uint8)])
    picture[:, :48, 3], picture[32:, 48:, 3] = 0, 128
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"b": "2M", "auto-alt-ref": "0"} if "vp" in codec else {})
        stream.height, stream.width, stream.pix_fmt = 64, 96, pixels
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mov", "png", "rgba"),
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.webm", "libvpx", "yuva420p"),
    ],
)
def test_transparent_video_is_shown_over_white(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    image = next(read_video(transparent(tmp_path / name, codec, pixels))).image
    assert image[8:-8, 8:40].min() > 248, "what is hidden is not seen"
    assert image[8:24, 56:88].mean((0, 1)) == pytest.approx(COLOURS[1], abs=6)
    assert image[40:56, 56:88].mean((0, 1)) == pytest.approx([237.5] * 3, abs=6)


def interlaced(path: Path, codec: str, count: int = 16) -> tuple[Path, list[NDArray[np.uint8]]]:
    """A bar that moves 2 pixels a field, coded as fields, and what was in front of the camera when each frame's first field was taken."""

    def seen(moment: int) -> NDArray[np.uint8]:
        picture = np.full((64, 96, 3), 30, np.uint8)
        picture[8:56, 8 + 2 * moment : 24 + 2 * moment] = 220
        return picture

    coded = {"libx264": {"x264-params": "interlaced=1:tff=1", "crf": "8", "bf": "0"}, "mpeg2video": {"b": "4M"}}[codec]
    graph = Graph()
    source = graph.add_buffer(width=96, height=64, format=VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"flags": "+ildct+ilme", **coded})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(count):
            woven = seen(2 * number)
            woven[1::2] = seen(2 * number + 1)[1::2]
            picture = av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            graph.vpush(picture)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path, [seen(2 * number) for number in range(count)]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg2video")])
def test_interlaced_video_becomes_whole_frames_at_the_same_times(tmp_path: Path, name: str, codec: str) -> None:
    path, seen = interlaced(tmp_path / name, codec)
    frames = list(read_video(path))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(16)], abs=1e-4)
    assert [frame.index for frame in frames] == list(range(16))
    with av.open(str(path)) as container:
        combed = np.mean([distance(p.to_ndarray(format="rgb24"), truth) for p, truth in zip(container.decode(video=0), seen, strict=True)])
    whole = np.mean([distance(frame.image, truth) for frame, truth in zip(frames, seen, strict=True)])
    assert combed > 2.5
    assert whole < 0.5


def test_progressive_frames_are_not_filtered(tmp_path: Path) -> None:
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[::2] = 200  # a deinterlacer would blur them
    image = next(read_video(record(tmp_path / "a.mp4", [stripes] * 3, [0, 0.04, 0.08], options={"crf": "1", "bf": "0"}))).image
    assert distance(image, stripes) < 2


def test_an_odd_size_is_kept(tmp_path: Path) -> None:
    frames = moving_picture(2, 63, 95)
    path = record(tmp_path / "a.mkv", frames, [0, 0.04], codec="ffv1", pixels="bgr0", options={})
    assert np.array_equal(next(read_video(path)).image, frames[0])


def with_edit(path: Path, start: int, seconds: float) -> Path:
    """The file with every track's edit list saying: begin at these units of the media, for so long."""
    data = bytearray(path.read_bytes())
    place, found = data.find(b"elst"), 0
    while place >= 0:
        clock = timescale(data, place)
        entries = struct.unpack(">I", data[place + 8 : place + 12])[0]
        assert entries == 1
        data[place + 12 : place + 20] = struct.pack(">Ii", round(seconds * 1000), round(start / 1000 * clock))
        place, found = data.find(b"elst", place + 4), found + 1
    assert found
    path.write_bytes(data)
    return path


def timescale(data: bytearray, place: int) -> int:
    """Units a second of the track whose edit list is at this place."""
    header = data.find(b"mdhd", place)
    return int(struct.unpack(">I", data[header + 16 : header + 20])[0])


def test_what_an_edit_list_cuts_off_is_not_shown_nor_heard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = moving_picture(40, 32, 32)
    path = record(tmp_path / "a.mp4", frames, [n / 25 for n in range(40)], beep=1.0, sound=[(0.0, 1.6)], options={"crf": "12", "bf": "0"})
    with_edit(path, 400, 1.2)
    with caplog.at_level(logging.WARNING):
        found = list(read_video(path))
    assert len(found) == pytest.approx(30, abs=1)
    assert found[0].time == 0
    assert psnr(found[0].image, frames[10]) > 30
    assert not caplog.records, "nothing is damaged"
    assert beeps(remade(path, tmp_path / "out.mp4")) == pytest.approx([0.6], abs=0.03)


def test_a_fragmented_file_is_read_like_any_other(tmp_path: Path) -> None:
    frames = moving_picture(30, 32, 32)
    whole = record(tmp_path / "whole.mp4", frames, [n / 25 for n in range(30)], beep=0.8, sound=[(0.0, 1.2)])
    path = tmp_path / "fragmented.mp4"
    flags = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "frag_duration": "200000"}
    with av.open(str(whole)) as source, av.open(str(path), "w", options=flags) as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    assert b"moof" in path.read_bytes()
    assert [frame.time for frame in read_video(path)] == pytest.approx([n / 25 for n in range(30)], abs=1e-4)
    assert (probe(path).frames, probe(path).fps) == (30, pytest.approx(25))
    assert beeps(remade(path, tmp_path / "out.mp4")) == pytest.approx([0.8], abs=0.03)
