"""GRPO against a loop over single tokens and against TRL's; masks; and a bandit whose best arm is known."""

import math
from types import SimpleNamespace

import pytest
import torch

from model.objectives.advantages import group_advantages
from model.objectives.grpo import grpo_loss, kl_estimate


def batch(n=4, length=7, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    old = -1 + 0.5 * randn(n, length)
    mask = torch.zeros(n, length, dtype=torch.bool)
    for row in range(n):
        mask[row, row % 2 : length - row] = True
    return old + 0.3 * randn(n, length), old, old + 0.3 * randn(n, length), randn(n), mask


def test_it_equals_a_loop():
    logprobs, old, reference, advantages, mask = batch()
    expected = []
    for row in range(len(mask)):
        terms = []
        for t in range(mask.shape[1]):
            if not mask[row, t]:
                continue
            ratio = math.exp(logprobs[row, t] - old[row, t])
            a = advantages[row].item()
            clipped = min(ratio * a, min(max(ratio, 0.8), 1.2) * a)
            share = math.exp(reference[row, t] - logprobs[row, t])
            terms.append(-clipped + 0.04 * (share - math.log(share) - 1))
        expected.append(sum(terms) / len(terms))
    ours = grpo_loss(
        logprobs=logprobs,
        old_logprobs=old,
        reference=reference,
        advantages=advantages,
        mask=mask,
        clip=0.2,
        kl_weight=0.04,
    )
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kl_weight", [0.0, 0.04])
def test_it_is_trls(kl_weight):
    """TRL's ``grpo`` loss, with its forward pass replaced by our numbers."""
    from trl import GRPOTrainer  # late, because TRL takes seconds to import

    logprobs, old, reference, advantages, mask = batch()
    ours, theirs = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
    accelerator = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1)
    names = ("kl", "entropy", *(f"clip_ratio/{n}" for n in ("low_mean", "low_min", "high_mean", "high_max")))
    metrics = {name: [] for name in (*names, "clip_ratio/region_mean")}
    stub = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (theirs, torch.zeros_like(logprobs), None),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, loss_type="grpo",
        importance_sampling_level="token", beta=kl_weight, epsilon_low=0.2, epsilon_high=0.2, use_vllm=False,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False), model=torch.nn.Identity().train(),
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False, accelerator=accelerator,
        _metrics={"train": metrics},
    )  # fmt: skip
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.long), "prompt_mask": torch.ones(4, 1),
        "completion_ids": torch.zeros(4, 7, dtype=torch.long), "completion_mask": mask.double(),
        "advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": reference,
    }  # fmt: skip
    expected = GRPOTrainer._compute_loss(stub, None, inputs)
    loss = grpo_loss(
        logprobs=ours,
        old_logprobs=old,
        reference=reference,
        advantages=advantages,
        mask=mask,
        clip=0.2,
        kl_weight=kl_weight,
    ).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, ours), torch.autograd.grad(expected, theirs))


def test_the_kl_of_identical_policies_is_0_and_of_others_above():
    logprobs, _, reference, _, _ = batch()
    assert (kl_estimate(logprobs=logprobs, reference=logprobs) == 0).all()
    assert (kl_estimate(logprobs=logprobs, reference=reference) > 0).all()


def test_its_mean_over_samples_of_the_policy_is_the_kl():
    policy, reference = (torch.tensor(p, dtype=torch.float64) for p in ([0.7, 0.2, 0.1], [0.3, 0.3, 0.4]))
    exact = (policy * (policy / reference).log()).sum()
    torch.testing.assert_close((policy * kl_estimate(logprobs=policy.log(), reference=reference.log())).sum(), exact)


def test_masked_positions_have_no_gradient_and_change_nothing():
    logprobs, old, reference, advantages, mask = batch()
    logprobs.requires_grad_()
    loss = grpo_loss(
        logprobs=logprobs,
        old_logprobs=old,
        reference=reference,
        advantages=advantages,
        mask=mask,
        clip=0.2,
        kl_weight=0.04,
    )
    [gradient] = torch.autograd.grad(loss.sum(), logprobs)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).any()
    other = torch.where(mask, old, old + 100.0)
    assert torch.equal(
        loss,
        grpo_loss(
            logprobs=logprobs,
            old_logprobs=other,
            reference=reference,
            advantages=advantages,
            mask=mask,
            clip=0.2,
            kl_weight=0.04,
        ),
    )


def test_a_bandit_ends_at_its_best_arm_by_grpo():
    """Five arms, a softmax policy, groups of 8 draws: each arm is compared with its group."""
    torch.manual_seed(0)
    pay = torch.tensor([0.0, 0.2, 1.0, 0.4, 0.1])
    logits = torch.zeros(5, requires_grad=True)
    reference = torch.full((5,), 0.2).log()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(80):
        groups = torch.multinomial(logits.softmax(0).detach(), 64, replacement=True).view(8, 8)
        spread = pay[groups].amax(dim=1) > pay[groups].amin(dim=1)
        arms, advantages = groups.flatten(), group_advantages(pay[groups], spread).flatten()
        old = logits.log_softmax(0)[arms].detach()[:, None]
        for _ in range(2):
            new = logits.log_softmax(0)[arms][:, None]
            mask = torch.ones_like(new, dtype=torch.bool)
            loss = grpo_loss(
                logprobs=new,
                old_logprobs=old,
                reference=reference[arms][:, None],
                advantages=advantages,
                mask=mask,
                clip=0.2,
                kl_weight=0.02,
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert logits.softmax(0)[2] > 0.9
