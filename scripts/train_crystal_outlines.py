"""Trains the model that outlines crystals on drawn pictures and writes it, with its card, where the tool takes it from.

    python scripts/train_crystal_outlines.py draw  --data FOLDER [--part 0 --of 2]
    python scripts/train_crystal_outlines.py train --data FOLDER [--out FOLDER] [--stage 3 --start MODEL.onnx]
    python scripts/train_crystal_outlines.py settle [--out FOLDER]
    python scripts/train_crystal_outlines.py card  [--out FOLDER]

`draw`, `settle` and `card` need Cloister only; several parts may be drawn side by side. `train` needs PyTorch as well (`pip install torch==2.13.0`, a
CPU build will do); one thread was fastest. Seeds are fixed. Weights are averaged over the last thousand or so steps
(B. Polyak, A. Juditsky 1992) and written every 500 steps, so that an interrupted run leaves a usable model. `settle` tells from which probability on a centre should count,
and up to which of lying in a bubble (`shipped.CENTRE_THRESHOLD`, `BUBBLE`), and by how much counts err (`ERROR`), on pictures that neither training nor card have seen; `card` judges the model with what stands there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cloister.applications.crystals.judging import judge
from cloister.applications.crystals.mixture import ENLARGED, FAINT_ENLARGED, any_factory
from cloister.applications.crystals.outlines_card import card_markdown, outlines_card
from cloister.applications.crystals.outlining import outliner
from cloister.applications.crystals.shipped import ERROR, REACH, RECALL
from cloister.applications.crystals.star_network import (
    INPUT,
    LAYERS,
    OUTPUT,
    build_star_model,
    initial_weights,
    read_weights,
)
from cloister.applications.crystals.synthesis import Micrograph, synthesise
from cloister.applications.crystals.training_answers import IGNORED, ONE, enlarged, sample
from cloister.applications.crystals.trials import TRIALS
from cloister.applications.crystals.trials import pictures as drawn
from cloister.data.stars import FOLDED, GROWN, RAYS, RAYS_FROM, UNIT
from cloister.foundation.files import write_atomically
from cloister.sizing.counting import reach_from
from cloister.tools.steps.size_figures import SizeFigures

NAME, SETTINGS = "outlines.onnx", "outlines.training.json"
SEED = 20271
SIDE, SHARD = 320, 32
PICTURES, HARD, SOILED, PLAIN = 24_000, 17_600, 12_000, 8_000
"""How many are drawn; from which on two thirds are of the hardest kinds; from which on there is dirt of every kind, and some are enlarged; up to which crystals look only as optics has them."""

KINDS = ANY, POLARISED, FAINT = "any", "polarised", "faint"
"""Of the hardest pictures, in turn."""

CROP, BATCH = 192, 8
DECAY, AVERAGED = 1e-4, 0.999
WEIGHTS = np.array([10.0, 1.0, 1.0, 0.3], np.float32)
"""Of the fine maps in the loss; a stage may weigh the bodies more."""
THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55)
BUBBLES = (0.5, 0.3, 0.2)
FINDER = SizeFigures(reach=REACH, recall=RECALL, error=ERROR)
LIKE_TRAINING = ("seed-like", "crowded", "polarised", "agglomerated", "reflected", "needles and fragments")
KEPT = 1000
"""From this picture of a trial on they are kept for settling; the card has the first ones."""
EMPHASIS = 3.0
"""How much more a centre counts than what is none."""


@dataclass(frozen=True)
class Stage:
    """A part of the training; each begins with the averaged weights of the one before.

    Attributes:
        first: it learns from the pictures from this one on.
        last: up to this one, without it.
        steps: how many it makes.
        planned: over how many its rate falls; it may end before.
        rate: of AdamW, at its highest.
        seed: of what is cut out.
        body: how much bodies weigh, whose edges say where outlines are.
    """

    first: int
    last: int
    steps: int
    planned: int
    rate: float
    seed: int
    body: float = 1.0


STAGES = (
    Stage(0, PLAIN, 6_500, 22_000, 1.5e-3, 1),
    Stage(0, SOILED, 15_500, 15_500, 1.1e-3, 2),
    Stage(6_400, HARD, 12_500, 12_500, 8e-4, 3, body=4.0),
    Stage(14_400, PICTURES, 7_000, 7_000, 4e-4, 4, body=4.0),
)


def draw(folder: Path, first: int, pictures: int, part: int, of: int) -> None:
    """Writes shards of pictures with their answers; a shard that is there is not drawn again."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(first // SHARD + part, -(-pictures // SHARD), of):
        path = folder / f"{shard:05d}.npz"
        if path.exists():
            continue
        made = []
        for number in range(shard * SHARD, (shard + 1) * SHARD):
            rng = np.random.default_rng((SEED, 0, number))
            made.append(sample(drawn_picture(rng, number)))
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(
                file,
                picture=np.stack([s.picture for s in made]),
                fine=np.stack([s.fine for s in made]),
                owner=np.stack([s.owner for s in made]),
                rays=np.concatenate([s.rays for s in made]),
                facts=np.concatenate([s.facts for s in made]),
                first=np.cumsum([0, *(len(s.rays) for s in made)]),
            )
        unfinished.replace(path)
        print(f"shard {shard}", flush=True)


def drawn_picture(rng: np.random.Generator, number: int) -> Micrograph:
    """Picture `number`, of `SIDE` pixels; later ones are soiled, half of them odd, and a quarter of them enlarged; of the last some are of the hardest kinds."""
    if number < SOILED:
        factory = any_factory(rng, SIDE, SIDE, odd=number >= PLAIN)
        return synthesise(factory, (SEED, 1, number))
    kind = KINDS[number % 3] if number >= HARD else ANY
    if kind == POLARISED:
        factory = any_factory(rng, SIDE, SIDE, odd=number % 4 == 0, light="polarised")
        return synthesise(factory, (SEED, 1, number))
    if kind == FAINT:
        factor = float(rng.uniform(*FAINT_ENLARGED))
    else:
        factor = float(rng.uniform(*ENLARGED)) if rng.random() < 0.25 else 1.0
    side = int(np.ceil(SIDE / factor))
    factory = any_factory(
        rng, side, side, odd=number % 2 == 1, soiled=True, enlarged=factor, faint=kind == FAINT
    )
    picture = synthesise(factory, (SEED, 1, number))
    return enlarged(picture, factor, SIDE) if factor > 1.0 else picture


def load(folder: Path, stage: Stage) -> list[dict[str, np.ndarray]]:
    """A stage's shards in memory."""
    shards = []
    for shard in range(stage.first // SHARD, stage.last // SHARD):
        path = folder / f"{shard:05d}.npz"
        if not path.exists():
            sys.exit(f"{path.name} is missing. Run `draw` first, all its parts.")
        with np.load(path) as file:
            shards.append({name: file[name] for name in file.files})
    return shards


class Crops:
    """Windows cut out of the drawn pictures at random."""

    def __init__(self, shards: list[dict[str, np.ndarray]], seed: int) -> None:
        self.shards = shards
        self.rng = np.random.default_rng(seed)

    def crop(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A turned and mirrored window: picture, fine maps, owners' rays [RAYS, h, w] (0 where none), owners' facts."""
        rng = self.rng
        part = self.shards[int(rng.integers(len(self.shards)))]
        one = int(rng.integers(SHARD))
        top, left = 4 * rng.integers(0, (SIDE - CROP) // 4 + 1, 2)
        x = part["picture"][one, top : top + CROP, left : left + CROP].astype(np.float32) / 127
        fine = part["fine"][one, :, top // 2 : (top + CROP) // 2, left // 2 : (left + CROP) // 2]
        owner = part["owner"][one, top // 4 : (top + CROP) // 4, left // 4 : (left + CROP) // 4]
        rays = part["rays"][part["first"][one] : part["first"][one + 1]]
        facts = part["facts"][part["first"][one] : part["first"][one + 1]]
        index = np.arange(RAYS)
        if rng.random() < 0.5:
            x, fine, owner, index = x[:, ::-1], fine[:, :, ::-1], owner[:, ::-1], (RAYS // 2 - index) % RAYS
        if rng.random() < 0.5:
            x, fine, owner, index = x[::-1], fine[:, ::-1], owner[::-1], index[-np.arange(RAYS) % RAYS]
        if rng.random() < 0.5:
            x, fine, owner = x.T, fine.transpose(0, 2, 1), owner.T
            index = index[(RAYS // 4 - np.arange(RAYS)) % RAYS]
        x = x * np.float32(np.exp(rng.normal(0, 0.2))) + np.float32(rng.normal(0, 0.03))
        if rng.random() < 0.3:
            x = x + rng.normal(0, rng.uniform(0, 0.06), x.shape).astype(np.float32)
        rays = np.concatenate([rays[:, index], np.zeros((1, RAYS), np.float32)])
        facts = np.concatenate([facts, np.zeros((1, 3), np.float32)])
        return np.clip(x, -1, 1), fine, rays[owner].transpose(2, 0, 1), facts[owner].transpose(2, 0, 1)

    def batch(self) -> list[np.ndarray]:
        """Crops stacked."""
        return [np.stack(part) for part in zip(*(self.crop() for _ in range(BATCH)), strict=True)]


def train(data: Path, out: Path, first: int, start: Path | None) -> None:
    """Goes through the stages from number `first` on (1 is the first), and writes `outlines.onnx` into `out`."""
    weights = read_weights(start.read_bytes()) if start is not None else initial_weights(SEED)
    for number, stage in enumerate(STAGES, 1):
        if number >= first:
            weights = go_through(stage, Crops(load(data, stage), stage.seed), weights, out, number)


def go_through(
    stage: Stage, crops: Crops, given: Mapping[str, np.ndarray], out: Path, number: int
) -> dict[str, np.ndarray]:
    """One stage: the averaged weights after it."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(stage.seed)
    params = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    mean = {name: value.detach().clone() for name, value in params.items()}
    optimiser = torch.optim.AdamW(params.values(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=DECAY)
    weights = torch.tensor(WEIGHTS)[None, :, None, None]
    weights[:, 1] *= stage.body

    def network(x: torch.Tensor) -> torch.Tensor:
        values = {INPUT: x}
        for layer in LAYERS:
            taken = []
            for source in layer.sources:
                if source.startswith("^"):
                    taken.append(functional.interpolate(values[source[1:]], scale_factor=2, mode="nearest"))
                elif source.startswith("%"):
                    # ONNX's SpaceToDepth puts the place before the channel; PyTorch's unshuffle the other way.
                    folded = functional.pixel_unshuffle(values[source[1:]], 2)
                    n, c, h, w = folded.shape
                    taken.append(folded.view(n, c // 4, 4, h, w).transpose(1, 2).reshape(n, c, h, w))
                else:
                    taken.append(values[source])
            made = functional.conv2d(
                torch.cat(taken, 1) if len(taken) > 1 else taken[0],
                params[f"{layer.name}.weight"],
                params[f"{layer.name}.bias"],
                stride=layer.stride,
                padding=layer.kernel // 2,
            )
            made = made + values[layer.added] if layer.added else made
            values[layer.name] = functional.relu(made) if layer.rectified else made
        return values[OUTPUT]

    def losses(parts: list[np.ndarray]) -> dict[str, torch.Tensor]:
        x, fine, rays, facts = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
        answers = network(x[:, None].to(memory_format=torch.channels_last))
        maps = functional.pixel_shuffle(answers[:, :FOLDED], 2)
        asked, wanted = fine != IGNORED, fine.float() / ONE
        each = functional.softplus(maps) - maps * wanted
        each = each * (weights * (1 + EMPHASIS * wanted * (weights > 5))) * asked
        owned = (rays[:, 0] > 0).float()
        # The answer is read near centres: there it counts most.
        near = owned * (0.1 + functional.max_pool2d(wanted[:, 0], 2) * (fine[:, 0, ::2, ::2] != IGNORED))
        total = near.sum() + 1.0
        length = torch.log(torch.clamp(rays, min=1.0) / UNIT)
        told = answers[:, RAYS_FROM : RAYS_FROM + RAYS]
        off = functional.smooth_l1_loss(told, length, reduction="none", beta=0.05).mean(1)
        lengths = UNIT * torch.exp(torch.clamp(told, -3, 4))
        area = (lengths * torch.roll(lengths, -1, 1)).sum(1) / torch.clamp(
            (rays * torch.roll(rays, -1, 1)).sum(1), min=1.0
        )
        blur = functional.smooth_l1_loss(
            answers[:, GROWN - 1], torch.log2(facts[:, 0] + 0.25), reduction="none", beta=0.2
        )
        logits = answers[:, GROWN : GROWN + 2]
        said = (functional.softplus(logits) - logits * facts[:, 1:]).sum(1)
        return {
            "fine": each.mean((0, 2, 3)).sum(),
            "rays": (off * near).sum() / total * 4,
            "area": (torch.abs(torch.log(area)) * near).sum() / total * 0.5,
            "facts": ((0.3 * blur + said) * near).sum() / total,
        }

    started, shown = time.monotonic(), {}
    for step in range(1, stage.steps + 1):
        wave = 0.5 * (1.0 + np.cos(np.pi * step / stage.planned))
        for group in optimiser.param_groups:
            group["lr"] = stage.rate * min(1.0, step / 300) * (0.02 + 0.98 * wave)
        found = losses(crops.batch())
        optimiser.zero_grad()
        sum(found.values()).backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimiser.step()
        keep = min(AVERAGED, step / (step + 20.0))
        with torch.no_grad():
            for name, value in params.items():
                mean[name].mul_(keep).add_(value, alpha=1 - keep)
        for name, value in found.items():
            old = shown.get(name, float(value.detach()))
            shown[name] = 0.98 * old + 0.02 * float(value.detach())
        if step % 50 == 0:
            told = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
            print(f"stage {number}, step {step}: {told}  {time.monotonic() - started:.0f} s", flush=True)
        if step % 500 == 0 or step == stage.steps:
            write(out, {name: value.numpy() for name, value in mean.items()}, number, step)
    return {name: value.numpy().copy() for name, value in mean.items()}


def write(out: Path, weights: Mapping[str, np.ndarray], stage: int, step: int) -> None:
    """The model and how it was made."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / NAME, build_star_model(weights))
    settings = {
        "stages": [asdict(one) for one in STAGES],
        "reached": {"stage": stage, "step": step},
        "side": SIDE,
        "crop": CROP,
        "batch": BATCH,
        "drawing_seed": SEED,
    }
    write_atomically(out / SETTINGS, json.dumps(settings, indent=1, sort_keys=True).encode())


def settle(folder: Path, pictures: int) -> None:
    """Prints what each threshold would give on pictures of made-up factories that are kept for this."""
    model = (folder / NAME).read_bytes()
    kept = []
    for number in range(pictures):
        factory = any_factory(np.random.default_rng((SEED, 2, number)), 640, 512, odd=number % 2 == 0)
        kept.append(synthesise(factory, (SEED, 3, number)))
    print("bubble  threshold  count accuracy (10 crystals and more)  precision  recall  false per bubble")
    for bubble in BUBBLES:
        look = outliner(model, threads=2, threshold=THRESHOLDS[0], bubble=bubble)
        seen = [(picture, look(picture.image)) for picture in kept]
        for threshold in THRESHOLDS:
            picked = [(picture, stars.pick(stars.strength >= threshold)) for picture, stars in seen]
            every = judge(picked)
            full = judge([pair for pair in picked if len(pair[0].crystals) >= 10])
            foam = judge([pair for pair in picked if len(pair[0].bubbles) >= 20])
            print(
                f"{bubble:.2f}  {threshold:.2f}  {full.count_accuracy:.4f}  {every.precision:.4f}  "
                f"{every.recall:.4f}  {foam.mimics:.4f}",
                flush=True,
            )
    look = outliner(model, threads=2)
    errors = [
        len(look(picture.image)) / len(picture.crystals) - 1.0
        for name in LIKE_TRAINING
        for picture in drawn(TRIALS[name], 20, KEPT)
    ]
    print(f"for the count's range: ERROR {np.sqrt(np.mean(np.square(errors))):.3f} (shipped has {ERROR})")


def card(folder: Path, pictures: int) -> None:
    """Judges the model in `folder` on the trials and writes its card beside it."""
    model = (folder / NAME).read_bytes()
    look = outliner(model, threads=2)
    judgements = {}
    for name, trial in TRIALS.items():
        judgements[name] = judge(
            ((picture, look(picture.image)) for picture in drawn(trial, pictures)), FINDER
        )
        print(f"{name}: {judgements[name].as_json()}", flush=True)
    recall, crowded = judgements["seed-like"].recall, judgements["crowded"].recall
    cover = float(np.mean([picture.mask().mean() for picture in drawn(TRIALS["crowded"], pictures)]))
    reach = reach_from(min(1.0, crowded / recall), cover)
    print(f"for the count's range: RECALL {recall:.3f}, REACH {reach:.2f} (shipped has {RECALL}, {REACH})")
    settings = folder / SETTINGS
    training = json.loads(settings.read_text("utf-8")) if settings.exists() else {}
    made = outlines_card(model, training, judgements)
    stem = folder / NAME.removesuffix(".onnx")
    write_atomically(stem.with_suffix(".json"), (json.dumps(made, indent=1, sort_keys=True) + "\n").encode())
    write_atomically(stem.with_suffix(".md"), card_markdown(made).encode())


def main() -> None:
    shipped = Path(__file__).resolve().parent.parent / "src/cloister/applications/crystals/weights"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="draw pictures to train on")
    drawing.add_argument("--data", type=Path, required=True)
    drawing.add_argument("--first", type=int, default=0, help="a later stage needs the later ones only")
    drawing.add_argument("--pictures", type=int, default=PICTURES)
    drawing.add_argument("--part", type=int, default=0)
    drawing.add_argument("--of", type=int, default=1)
    training = commands.add_parser("train", help="train on drawn pictures")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--out", type=Path, default=shipped)
    training.add_argument("--stage", type=int, default=1, choices=range(1, len(STAGES) + 1))
    training.add_argument("--start", type=Path, help="the model that the stage before left")
    settling = commands.add_parser("settle", help="tell what each threshold gives")
    settling.add_argument("--out", type=Path, default=shipped)
    settling.add_argument("--pictures", type=int, default=80)
    judging = commands.add_parser("card", help="judge a model and write its card")
    judging.add_argument("--out", type=Path, default=shipped)
    judging.add_argument("--pictures", type=int, default=20, help="of each trial")
    given = parser.parse_args()
    if given.command == "draw":
        draw(given.data, given.first, given.pictures, given.part, given.of)
    elif given.command == "train":
        train(given.data, given.out, given.stage, given.start)
    elif given.command == "settle":
        settle(given.out, given.pictures)
    else:
        card(given.out, given.pictures)


if __name__ == "__main__":
    sys.exit(main())
