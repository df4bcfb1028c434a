"""The figures that the example's documents quote, computed from the rows of the example's tables."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import correlation, fmean

SPECIES = ("Adelie", "Chinstrap", "Gentoo")


@dataclass(frozen=True)
class Bird:
    """One penguin. Lengths in millimetres, mass in grams, isotope ratios in parts per thousand; None is missing."""

    bird_id: str
    nest_id: str
    species: str
    island: str
    year: int
    sex: str | None
    bill_length_mm: float | None
    bill_depth_mm: float | None
    flipper_length_mm: float | None
    body_mass_g: float | None
    egg_date: str
    full_clutch: str
    delta_15n: float | None
    delta_13c: float | None
    comment: str


def mean(birds: list[Bird], attribute: str) -> float:
    """Return the mean of an attribute over the birds that have it."""
    return fmean(value for bird in birds if (value := getattr(bird, attribute)) is not None)


def relation(birds: list[Bird], attribute: str) -> float:
    """Return Pearson's correlation of an attribute with body mass over the birds that have both."""
    pairs = [
        (value, bird.body_mass_g)
        for bird in birds
        if (value := getattr(bird, attribute)) is not None and bird.body_mass_g is not None
    ]
    return correlation([x for x, _ in pairs], [y for _, y in pairs])


def grams(value: float) -> str:
    """Write a mass in whole grams with a comma between the thousands."""
    return f"{value:,.0f}"


def figures(birds: list[Bird]) -> dict[str, str]:
    """Return every figure the documents may quote, by name, already rounded and written out."""
    found = {
        "birds": str(len(birds)),
        "nests": str(len({bird.nest_id for bird in birds})),
        "mass": grams(mean(birds, "body_mass_g")),
        "flipper": f"{mean(birds, 'flipper_length_mm'):.1f}",
        "weighed": str(sum(bird.body_mass_g is not None for bird in birds)),
        "unsexed": str(sum(bird.sex is None for bird in birds)),
    }
    found |= _relations("", birds) | _sexes("", birds)
    for species in SPECIES:
        found |= _species(species.lower(), [bird for bird in birds if bird.species == species])
    found["gentoo_over_adelie"] = grams(
        mean([b for b in birds if b.species == "Gentoo"], "body_mass_g")
        - mean([b for b in birds if b.species == "Adelie"], "body_mass_g")
    )
    for year in sorted({bird.year for bird in birds}):
        found[f"mass_{year}"] = grams(mean([b for b in birds if b.year == year], "body_mass_g"))
    return found | _pairs(birds) | _nests(birds)


def _relations(prefix: str, birds: list[Bird]) -> dict[str, str]:
    return {
        f"{prefix}r_flipper": f"{relation(birds, 'flipper_length_mm'):.2f}",
        f"{prefix}r_depth": f"{relation(birds, 'bill_depth_mm'):.2f}",
        f"{prefix}r_n15": f"{relation(birds, 'delta_15n'):.2f}",
    }


def _sexes(prefix: str, birds: list[Bird]) -> dict[str, str]:
    males = [bird for bird in birds if bird.sex == "male"]
    females = [bird for bird in birds if bird.sex == "female"]
    heavier = mean(males, "body_mass_g") - mean(females, "body_mass_g")
    return {
        f"{prefix}male_mass": grams(mean(males, "body_mass_g")),
        f"{prefix}female_mass": grams(mean(females, "body_mass_g")),
        f"{prefix}male_flipper": f"{mean(males, 'flipper_length_mm'):.1f}",
        f"{prefix}female_flipper": f"{mean(females, 'flipper_length_mm'):.1f}",
        f"{prefix}gap": grams(heavier),
        f"{prefix}gap_percent": f"{100 * heavier / mean(females, 'body_mass_g'):.1f}",
    }


def _species(name: str, birds: list[Bird]) -> dict[str, str]:
    found = {
        f"{name}_birds": str(len(birds)),
        f"{name}_weighed": str(sum(bird.body_mass_g is not None for bird in birds)),
        f"{name}_mass": grams(mean(birds, "body_mass_g")),
        f"{name}_flipper": f"{mean(birds, 'flipper_length_mm'):.1f}",
        f"{name}_length": f"{mean(birds, 'bill_length_mm'):.1f}",
        f"{name}_depth": f"{mean(birds, 'bill_depth_mm'):.1f}",
        f"{name}_n15": f"{mean(birds, 'delta_15n'):.2f}",
    }
    for island in sorted({bird.island for bird in birds}):
        here = [bird for bird in birds if bird.island == island]
        found[f"{name}_{island.lower()}_mass"] = grams(mean(here, "body_mass_g"))
    found[f"{name}_pairs"] = _pairs(birds)["pairs"]
    return found | _relations(f"{name}_", birds) | _sexes(f"{name}_", birds)


def _pairs(birds: list[Bird]) -> dict[str, str]:
    nests: dict[str, dict[str, float]] = defaultdict(dict)
    for bird in birds:
        if bird.sex is not None and bird.body_mass_g is not None:
            nests[bird.nest_id][bird.sex] = bird.body_mass_g
    both = [pair for pair in nests.values() if len(pair) == 2]
    return {"pairs": str(len(both)), "male_heavier": str(sum(pair["male"] > pair["female"] for pair in both))}


def _nests(birds: list[Bird]) -> dict[str, str]:
    full = [bird for bird in birds if bird.full_clutch == "yes"]
    other = [bird for bird in birds if bird.full_clutch == "no"]
    return {
        "incomplete": str(len({bird.nest_id for bird in other})),
        "full_mass": grams(mean(full, "body_mass_g")),
        "incomplete_mass": grams(mean(other, "body_mass_g")),
    }
