"""Each algorithm's direction against its equation, and the registry."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair


def test_reptile_is_theta_minus_phi_for_both_players():
    pair, inner = smooth_pair(), gm.InnerLoop(steps=4, lr=1e-2)
    task = gm.Task(small_batch(5))
    update = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=inner).meta_gradient(pair, task, seed=3)
    phi = gm.adapt(pair, SquaresObjective(), task.support, inner, seed=3)
    assert set(update.grads) == {name for name, _ in pair.named_parameters()}
    for (name, theta), adapted in zip(pair.named_parameters(), phi.parameters(), strict=True):
        assert torch.equal(update.grads[name], theta - adapted)
    assert {"generator", "discriminator", "G_GAN", "G_L2"} <= set(update.logs)


def test_reptile_with_one_sgd_step_is_the_joint_gradient():
    pair, batch = smooth_pair(), small_batch(8)
    inner = gm.InnerLoop(steps=1, optimizer="sgd", lr=0.05)
    update = gm.algorithms.create("reptile", objective=SharedForwardObjective(), inner=inner).meta_gradient(pair, gm.Task(batch))
    objective = SquaresObjective()
    for player in pair.players:
        names, parameters = zip(*pair.player_parameters(player), strict=True)
        loss = gm.objective.total(getattr(objective, f"{player}_loss")(pair, batch))[0].mean()
        for name, gradient in zip(names, torch.autograd.grad(loss, parameters), strict=True):
            torch.testing.assert_close(update.grads[name], 0.05 * gradient, rtol=1e-9, atol=1e-12)


def test_fomaml_is_each_players_query_gradient_at_phi():
    pair, task = smooth_pair(), gm.Task(small_batch(5), small_batch(4, seed=9))
    inner = gm.InnerLoop(steps=3, lr=1e-2)
    update = gm.algorithms.create("fomaml", objective=SquaresObjective(), inner=inner).meta_gradient(pair, task)
    phi = gm.adapt(pair, SquaresObjective(), task.support, inner)
    for player in phi.players:
        names, parameters = zip(*phi.player_parameters(player), strict=True)
        loss = gm.objective.total(getattr(SquaresObjective(), f"{player}_loss")(phi, task.query))[0].mean()
        for name, gradient in zip(names, torch.autograd.grad(loss, parameters), strict=True):
            torch.testing.assert_close(update.grads[name], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("algorithm", ["reptile", "fomaml"])
@pytest.mark.parametrize("freeze_d", ["reset", "always"])
def test_freeze_d_leaves_the_discriminator_out(algorithm, freeze_d):
    pair, task = smooth_pair(), gm.Task(small_batch(5), small_batch(4, seed=9))
    before = parameters_of(pair)
    inner = gm.InnerLoop(steps=2, lr=1e-2, freeze_d=freeze_d)
    update = gm.algorithms.create(algorithm, objective=SquaresObjective(), inner=inner).meta_gradient(pair, task)
    assert {name.split(".")[0] for name in update.grads} == {"generator"}
    assert all(torch.equal(before[name], p) for name, p in pair.named_parameters())


def test_refusals_name_both_sides():
    pair, objective = smooth_pair(), SquaresObjective()
    shared = gm.algorithms.create("reptile", objective=objective, inner=gm.InnerLoop(roles={"generator.0.*": "shared"}))
    with pytest.raises(ValueError, match=r"Reptile cannot learn 'generator\.0\.weight' with the role 'shared'"):
        shared.meta_gradient(pair, gm.Task(small_batch(5)))
    with pytest.raises(ValueError, match="FOMAML needs a query"):
        gm.algorithms.create("fomaml", objective=objective, inner=gm.InnerLoop()).meta_gradient(pair, gm.Task(small_batch(5), name="x"))
    with pytest.raises(ValueError, match="unknown algorithm 'reptil': did you mean 'reptile'"):
        gm.algorithms.create("reptil", objective=objective, inner=gm.InnerLoop())


def test_third_parties_register_their_own():
    @gm.algorithms.register("test-only-standstill")
    class Standstill(gm.MetaAlgorithm):
        def meta_gradient(self, pair, task, seed=0):
            return gm.MetaGradient({name: torch.zeros_like(p) for name, p in pair.named_parameters()})

    assert "test-only-standstill" in gm.algorithms.available()
    pair = smooth_pair()
    before = parameters_of(pair)
    algorithm = gm.algorithms.create("test-only-standstill", objective=SquaresObjective(), inner=gm.InnerLoop())
    gm.MetaTrainer(pair, algorithm, [gm.Task(small_batch(5))], iterations=2).fit()
    assert all(torch.equal(before[name], p) for name, p in pair.named_parameters())
    with pytest.raises(ValueError, match="registered already"):

        @gm.algorithms.register("test-only-standstill")
        class Other(gm.MetaAlgorithm):
            pass


def test_installed_packages_bring_their_own_and_are_imported_only_when_used(tmp_path, monkeypatch):
    (tmp_path / "nowhere_to_go.py").write_text(
        "import gan_meta as gm\n\n\nclass Nowhere(gm.MetaAlgorithm):\n"
        "    def meta_gradient(self, pair, task, seed=0):\n        return gm.MetaGradient({})\n"
    )
    metadata = tmp_path / "nowhere_to_go-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nowhere-to-go\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[gan_meta.algorithms]\nnowhere = nowhere_to_go:Nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "nowhere" in gm.algorithms.available()
    assert "nowhere_to_go" not in sys.modules
    with pytest.raises(ValueError, match="unknown algorithm 'nowhere2': did you mean 'nowhere'"):
        gm.algorithms.create("nowhere2")
    algorithm = gm.algorithms.create("nowhere", objective=SquaresObjective(), inner=gm.InnerLoop())
    assert type(algorithm).__name__ == "Nowhere"
    assert gm.algorithms.create("nowhere", objective=SquaresObjective(), inner=gm.InnerLoop()) is not algorithm


def test_every_algorithm_leaves_the_users_modules_untouched():
    for name, options in (("reptile", {}), ("fomaml", {}), ("maml", {}), ("anil", {"head": ["*.3.*", "*.2.*"]})):
        pair = smooth_pair()
        before, flags = parameters_of(pair), [(p.requires_grad, p.grad) for p in pair.parameters()]
        algorithm = gm.algorithms.create(name, objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2), **options)
        algorithm.meta_gradient(pair, gm.Task(small_batch(5), small_batch(3, seed=1)))
        assert all(torch.equal(before[parameter_name], p) for parameter_name, p in pair.named_parameters())
        assert [(p.requires_grad, p.grad) for p in pair.parameters()] == flags


@pytest.mark.parametrize("name", ["reptile", "maml", "meta-sgd"])
def test_a_class_of_the_same_name_does_not_replace_a_built_in(name):
    built_in = gm.algorithms.registry._ALGORITHMS[name]
    impostor = type(built_in.__name__, (gm.MetaAlgorithm,), {"__qualname__": built_in.__qualname__})
    with pytest.raises(ValueError, match=rf"registered already: {built_in.__module__}\.{built_in.__name__}; choose another name"):
        gm.algorithms.register(name)(impostor)
    assert gm.algorithms.registry._ALGORITHMS[name] is built_in


def test_a_module_that_is_loaded_again_registers_again():
    before = gm.algorithms.registry._ALGORITHMS["reptile"]
    again = importlib.reload(gm.algorithms.reptile)
    assert gm.algorithms.registry._ALGORITHMS["reptile"] is again.Reptile is not before
    gm.algorithms.register("reptile")(before)
