"""The suites and their plans: the paper's setting to the letter, and what each part is made of."""

from __future__ import annotations

import pytest
from metapix.errors import InputError
from metapix.evaluation.reproduce.plans import PARTS, Entry, entries_of
from metapix.evaluation.reproduce.suite import SUITES, find_suite
from metapix.report.words import PAPER_TABLE_1

PAPER, DEMO = SUITES["paper"], SUITES["demo"]


def test_the_papers_setting_is_the_papers() -> None:
    assert (PAPER.shots, PAPER.steps, PAPER.ablation_steps, PAPER.epochs, PAPER.most_frames) == (5, 20, 200, 10, 2000)
    assert PAPER.shot_sweep == (1, 3, 5, 8, 10, 20)
    assert PAPER.step_sweep == (5, 10, 20, 50, 100, 200)
    assert PAPER.snapshots == (0, 10, 20, 40, 80, 200)
    assert PAPER.changes == ()
    preset = PAPER.training_preset("pix2pixhd")
    recipe, game, meta = preset.recipe, preset.game(), preset.meta_train
    assert (recipe.size, recipe.lr, recipe.discriminator_lr, recipe.batch_size, recipe.schedule) == (
        512,
        2e-4,
        None,
        8,
        "constant_then_linear",
    )
    assert (recipe.perceptual, recipe.perceptual_weight, recipe.feature_matching, recipe.adversarial_weight, recipe.pixel) == (
        "vgg19", 10.0, 10.0, None, 0.0,
    )  # fmt: skip
    assert (game.optimizer, tuple(game.betas), game.update, game.freeze_d, game.steps) == (
        "adam",
        (0.5, 0.999),
        "simultaneous",
        "never",
        20,
    )
    assert [game.lr_at(step) for step in (0, 9)] == [2e-4, 2e-4]
    assert game.lr_at(15) < 2e-4
    assert (meta.algorithm, meta.iterations, meta.meta_lr, meta.meta_schedule, meta.meta_batch_size, meta.shots) == (
        "reptile", 300, 1.0, "linear", 1, 5,
    )  # fmt: skip
    assert (preset.pretrain.epochs, preset.pretrain.steps) == (10, None)
    assert preset.recipe.adversarial_weight is None, "pix2pixHD's own, which is 1"
    model = {"base_channels": 64, "n_downsample": 4, "n_blocks": 9, "discriminator_channels": 64, "n_layers": 3, "n_scales": 2}
    assert {name: preset.model[name] for name in model} == model


def test_table_1_has_the_papers_rows_of_each_model_and_ours() -> None:
    for model, title in (("pix2pixhd", "Pix2PixHD"), ("posewarp", "Posewarp")):
        rows = {(entry.init, str(entry.shots), str(entry.steps)) for entry in PARTS["table1"](PAPER, model)}
        papers = {(init.lower(), shots, steps) for name, init, shots, steps, *_ in PAPER_TABLE_1 if name == title}
        assert papers <= rows
        assert ("pretrain-equal-steps", "5", "20") in rows
    copies = [entry.init for entry in PARTS["table1"](PAPER, "pix2pixhd") if entry.model == "none"]
    assert copies == ["nearest-frame", "puppet"]
    assert not [entry for entry in PARTS["table1"](PAPER, "posewarp") if entry.model == "none"]


@pytest.mark.parametrize(("part", "points"), [("fig5", PAPER.shot_sweep), ("fig6", PAPER.step_sweep)])
def test_sweeps_have_four_starts_at_every_point(part: str, points: tuple[int, ...]) -> None:
    entries = PARTS[part](PAPER, "pix2pixhd")
    swept = [entry.shots if part == "fig5" else entry.steps for entry in entries]
    assert swept == [point for point in points for _ in range(4)]
    for entry in entries:
        trained = (entry.meta_shots, entry.meta_steps)
        expected = {"random": (0, 0), "pretrain": (0, 0), "metapix, trained alike": (entry.shots, entry.steps)}
        assert trained == expected.get(entry.variant, (5, 20))


def changes_of(part: str) -> dict[str, tuple[str, ...]]:
    return {entry.variant: entry.changes for entry in PARTS[part](PAPER, "pix2pixhd")}


def test_ablations_change_what_they_say_and_their_presets_load() -> None:
    assert changes_of("epsilon") == {"pretrain": (), "eps 1.0": (), "eps 0.1": ("meta_train.meta_lr=0.1",)}
    for part, plan in PARTS.items():
        for entry in plan(PAPER, "pix2pixhd"):
            preset = PAPER.training_preset("pix2pixhd", entry.changes)
            assert part == entry.part
            if entry.variant == "eps 0.1":
                assert preset.meta_train.meta_lr == 0.1
            if entry.variant == "alternating 2:1":
                assert (preset.game().update, tuple(preset.game().update_ratio)) == ("alternating", (2, 1))
            if entry.variant == "D always frozen":
                assert preset.game().freeze_d == "always"
            if entry.variant == "perceptual term only":
                assert (preset.recipe.adversarial_weight, preset.recipe.feature_matching, preset.recipe.pixel) == (0, 0, 0)
            if part in ("epsilon", "freeze-d"):
                assert (entry.shots, entry.steps) == (5, 200)


def test_plans_do_not_know_kinds_of_models() -> None:
    def without_model(entries: list[Entry]) -> list[tuple[object, ...]]:
        return [(e.part, e.variant, e.init, e.shots, e.steps, e.meta_shots, e.meta_steps, e.changes) for e in entries if e.model != "none"]

    for plan in PARTS.values():
        assert without_model(plan(DEMO, "pix2pixhd")) == without_model(plan(DEMO, "another"))


def test_each_model_of_the_demo_has_a_size_that_it_works_at() -> None:
    assert [DEMO.training_preset(model).recipe.size for model in ("pix2pixhd", "posewarp")] == [48, 64]


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown preset 'papre': did you mean 'paper'"):
        find_suite("papre")
    with pytest.raises(InputError, match="unknown model 'pix2pixd': did you mean 'pix2pixhd'"):
        DEMO.training_preset("pix2pixd")


def test_only_table_1_has_every_model() -> None:
    entries = entries_of(tuple(PARTS), PAPER, ("pix2pixhd", "posewarp"))
    assert {entry.part for entry in entries if entry.model == "posewarp"} == {"table1"}
    assert {entry.part for entry in entries if entry.model == "pix2pixhd"} == set(PARTS)
