"""Run in an environment with torch and Opacus: its ghost clipping's step over its plain step, for the MLP and the CNN."""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(100, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, 2, padding=3), nn.ReLU(), nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1),
        nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def seconds(step: Callable[[], None]) -> float:
    for _ in range(2):
        step()
    times = []
    for _ in range(9):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return statistics.median(times)


def ratio(make: Callable[[], nn.Module], shape: tuple[int, ...], batch: int) -> float:
    x, y = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
    plain = make()
    optimiser, loss = torch.optim.SGD(plain.parameters(), lr=1e-6), nn.CrossEntropyLoss()

    def step() -> None:
        optimiser.zero_grad()
        loss(plain(x), y).backward()
        optimiser.step()

    model = make()
    private, private_optimiser, criterion, _ = PrivacyEngine().make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), lr=1e-6),
        data_loader=DataLoader(TensorDataset(x, y), batch_size=batch), criterion=nn.CrossEntropyLoss(),
        noise_multiplier=0.0, max_grad_norm=1.0, grad_sample_mode="ghost", poisson_sampling=False,
    )  # fmt: skip

    def private_step() -> None:
        private_optimiser.zero_grad()
        criterion(private(x), y).backward()
        private_optimiser.step()

    return seconds(private_step) / seconds(step)


warnings.simplefilter("ignore")
size = 64 if "--quick" in sys.argv else 256
print(
    json.dumps(
        {
            "MLP 100-256-256-10": ratio(mlp, (100,), size),
            "CNN of Opacus' MNIST example": ratio(cnn, (1, 28, 28), size),
        }
    )
)
