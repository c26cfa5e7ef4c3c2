"""Claims about the parts of a gradient: G against the noise h, and variation from pixel to pixel; numbers by hand."""

from pathlib import Path

import numpy as np
import pytest
from made_evidence import FGSM, checked, made

from crossfool.errors import UserError
from crossfool.experiment.results.gradient_variation import read_variation, relative_variation, saliency_path
from crossfool.experiment.results.outcomes import Evidence
from crossfool.pipeline.gradient_analysis.config import Saliency, Similarity
from crossfool.report.claims.noise_transfers_less import directions
from crossfool.report.paper_claims import Claim
from crossfool.storage.tensors import write_tensors

ONE_CELL = {("resnet18", "fgsm", "vgg13_bn"): 0}
OTHER = {"source": "resnet18", "target": "vgg13_bn", "images": 6, "samples": (10,), "sigma": 15.0}
ITSELF = {**OTHER, "target": "resnet18"}


def analysed(**analyses: tuple[dict, tuple[int, ...], tuple[float, ...]]) -> dict[str, Claim]:
    """Claims of analyses of similarity: row, samples, and the same cosines for each of six images."""
    similarity = {name: (samples, np.tile(cosines, (6, 1))) for name, (_, samples, cosines) in analyses.items()}
    evidence = made(ONE_CELL, {"fgsm": FGSM}, similarity=similarity)
    rows = {name: Similarity.model_validate({**row, "samples": samples[1:]})
            for name, (row, samples, _) in analyses.items()}  # fmt: skip
    experiment = evidence.experiment.model_copy(update={"similarity": rows})
    return checked(Evidence(experiment, evidence.hits, evidence.hits5, {}, {}, similarity))


def test_the_noise_transfers_less() -> None:
    # cos(g, G) = 0.6: of cos(g, b) = 0.3 and cos(G, b) = 0.5 follows cos(h, b) = (0.3 - 0.6 * 0.5) / 0.8 = 0
    claims = analysed(across=(OTHER, (0, 10), (0.3, 0.5)), itself=(ITSELF, (0, 5, 10), (1.0, 0.9, 0.6)))
    claim = claims["noise_transfers_less"]
    assert claim.effect == pytest.approx(0.5) and (claim.verdict, claim.unit) == ("undecided", "cosine")
    assert (claim.p, claim.p_holm, claim.smallest_p) == (2 / 64, 2 * 2 / 64, 2 / 64)
    assert "across, m = 10: G 0.500, h 0.000, difference +0.5 (p 0.031)" in claim.detail
    # of cos(G, b) = 0.1 and cos(h, b) = 0.5 is cos(g, b) = 0.6 * 0.1 + 0.8 * 0.5
    claims = analysed(across=(OTHER, (0, 10), (0.46, 0.1)), itself=(ITSELF, (0, 10), (1.0, 0.6)))
    claim = claims["noise_transfers_less"]
    assert claim.effect == pytest.approx(-0.4) and claim.sign == -1 and claim.p == 2 / 64


def test_an_analysis_of_a_source_with_itself_is_no_analysis_of_transfer() -> None:
    """A gradient is like itself: its fall by smoothing does not contradict that smoothing helps."""
    claims = analysed(across=(OTHER, (0, 1, 10), (0.3, 0.4, 0.5)), itself=(ITSELF, (0, 1, 10), (1.0, 0.9, 0.6)))
    assert (claims["similarity_smoothed"].sign, claims["similarity_smoothed"].comparisons) == (1, 1)
    assert claims["similarity_rises"].effect == pytest.approx(1) and claims["similarity_rises"].comparisons == 1
    assert "noise_transfers_less" not in analysed(itself=(ITSELF, (0, 10), (1.0, 0.6)))


@pytest.mark.parametrize("other", [{"sigma": 10.0}, {"images": 5}, {"seed": 1}, {"source": "vgg13_bn"}])
def test_the_noise_is_known_by_an_analysis_of_the_same_noise_alone(other: dict) -> None:
    row = {**ITSELF, **other}
    row["target"] = row["source"]
    claims = analysed(across=(OTHER, (0, 10), (0.3, 0.5)), itself=(row, (0, 10), (1.0, 0.6)))
    claim = claims["noise_transfers_less"]
    assert (claim.verdict, claim.p) == ("not tested", None)
    assert "needs an analysis of the source with itself" in claim.detail and "target: resnet18" in claim.detail


def test_cosines_of_the_noise_are_those_of_its_definition() -> None:
    g, smoothed, b = np.random.default_rng(0).normal(size=(3, 5, 40))
    unit = smoothed / np.linalg.norm(smoothed, axis=1, keepdims=True)
    noise = g - (g * unit).sum(1, keepdims=True) * unit

    def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)

    found = directions(cosine(g, b), cosine(smoothed, b), cosine(g, smoothed))
    np.testing.assert_allclose(found, (cosine(smoothed, b), cosine(noise, b)), rtol=1e-9)
    assert len(directions(np.ones(1), np.ones(1), np.ones(1))[0]) == 0  # no noise at all


CHECKS, STRIPES, FLAT = [[1, -1], [-1, 1]], [[1, 1], [-1, -1]], [[3, 3], [3, 3]]


def test_relative_variation_by_hand() -> None:
    # four differences of 2, of four values 1; two of them; none; all zeros; the sum over both channels
    found = relative_variation(np.array([[CHECKS], [STRIPES], [FLAT], [np.zeros((2, 2))]], float))
    assert found.tolist() == [2, 1, 0, 0]
    assert relative_variation(np.array([CHECKS, STRIPES], float)) == pytest.approx(12 / 8)
    assert relative_variation(7 * np.array([STRIPES], float)) == pytest.approx(1)


def varied(**analyses: list[float]) -> dict[str, Claim]:
    """Claims of analyses of saliency that have the same variation for each of six images."""
    evidence = made(ONE_CELL, {"fgsm": FGSM})
    variation = {name: ((0, 10, 50), np.tile(values, (6, 1))) for name, values in analyses.items()}
    return checked(Evidence(evidence.experiment, evidence.hits, evidence.hits5, {}, {}, {}, {}, variation))


def test_the_smoothed_gradient_varies_less() -> None:
    claim = varied(one=[2.0, 1.5, 1.0])["gradient_variation"]
    assert (claim.verdict, claim.unit, claim.p) == ("supported", "percent", 2 / 64)
    assert claim.effect == pytest.approx(100 / 1.5)
    assert "one, m = 50: 2.00 to 1.00, fall in percent +66.7 (p 0.031)" in claim.detail
    claim = varied(one=[2.0, 1.5, 1.0], two=[1.0, 1.0, 1.25])["gradient_variation"]
    assert (claim.sign, claim.p) == (-1, 2 * 2 / 64) and claim.effect == pytest.approx(-25 / 1.125)
    assert varied(one=[0.0, 0.0, 0.0]) == {}


def test_variation_that_goes_up_as_often_as_down_has_no_effect() -> None:
    """A fall relative to the plain gradient's would be -25 percent here."""
    evidence = made(ONE_CELL, {"fgsm": FGSM})
    variation = {"one": ((0, 50), np.array([[1.0, 2.0], [2.0, 1.0]] * 3))}
    claim = checked(Evidence(evidence.experiment, evidence.hits, evidence.hits5, {}, {}, {}, {}, variation))
    assert claim["gradient_variation"].verdict == "undecided" and claim["gradient_variation"].effect == 0


def test_variation_is_read_from_the_analysis_of_saliency(tmp_path: Path) -> None:
    row = Saliency.model_validate({"model": "resnet18", "images": (3, 7), "samples": (10,), "sigma": 15.0})
    gradients = np.array([[[CHECKS], [FLAT]], [[STRIPES], [FLAT]]], np.float32)
    path = saliency_path(tmp_path, "one")
    path.parent.mkdir(parents=True)
    write_tensors(path, {"gradients": gradients}, {})
    samples, values = read_variation(tmp_path, "one", row)
    assert samples == (0, 10) and values.tolist() == [[2, 0], [1, 0]]
    with pytest.raises(UserError, match="expected 3 images with m = 0, 10, found 2 with 2 values"):
        read_variation(tmp_path, "one", row.model_copy(update={"images": (3, 7, 8)}))
