"""Amounts as Kubernetes writes them: ``1500m`` cores, ``4Gi`` or ``4194304k`` bytes."""

from decimal import Decimal, InvalidOperation
from typing import Final

_UNITS: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
MIB: Final = 2**20


def amount(text: str) -> Decimal:
    """In cores, or bytes. What cannot be read is nothing: an amount that we do not know is not counted on."""
    digits = text.rstrip("numkKMGTPEi")
    try:
        return Decimal(digits) * _UNITS[text[len(digits) :]]
    except (InvalidOperation, KeyError):
        return Decimal(0)


def cores(text: str) -> float:
    return float(amount(text))


def mib(text: str) -> int:
    return int(amount(text) / MIB)


def of_cores(cpus: float) -> str:
    """Whole thousandths, and at least one: of nothing nobody is scheduled anywhere sensible."""
    return f"{max(round(cpus * 1000), 1)}m"


def of_mib(size_mib: int) -> str:
    return f"{size_mib}Mi"
