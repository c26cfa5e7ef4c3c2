"""The paper's claims counted on its own tables: by hand for those that contradict them."""

from crossfool.report.reported import claims_on_figures
from crossfool.report.reported.published_rates import csv_rows


def test_the_papers_tables_contradict_two_of_its_claims() -> None:
    assert len(csv_rows("paper_rates.csv")) == 203
    counts = {(count.claim, *count.tables): count for count in claims_on_figures.count_claims()}
    family = counts["same_family, sources for a target", "table1"]
    assert (family.as_claimed, family.compared, len(family.counterexamples)) == (9, 12, 3)  # "always much higher"
    rows = counts["same_family, targets of a source", "table1"]
    assert (rows.as_claimed, rows.compared) == (8, 12)
    assert "fgsm from resnet18: on vgg13_bn 51.8%, on resnet101 36.9%" in rows.counterexamples
    assert "fgsm on resnet18: from densenet121 49.3%, from resnet101 48.5%" in family.counterexamples
    twice = counts["nearly_twice, for a target", "table1"]  # said of VGGs: 1.59 and 1.60; it is not so of ResNets
    assert (twice.as_claimed, twice.compared) == (4, 6)
    assert twice.counterexamples == ("igsm on resnet101: 0.82 times densenet", "igsm on resnet18: 0.95 times densenet")
    depth = counts["depth, there and back", "table1"]
    assert (depth.as_claimed, depth.compared) == (0, 6)
    assert "igsm: resnet18 to resnet101 43.4%, back 57.2%" in depth.counterexamples
    assert counts["depth", "table2a"].as_claimed == counts["depth", "table2a"].compared


def test_smoothing_is_ahead_in_every_cell_of_the_paper() -> None:
    counts = {count.claim: count for count in claims_on_figures.count_claims()}
    compared = {name: counts[name].compared for name in claims_on_figures.SMOOTHED}
    assert compared == {
        "smoothing_equal_cost": 20,
        "smoothing_ensembles": 12,
        "smoothing_ensembles_targeted": 20,
        "smoothing_beats_momentum": 6,
        "smoothing_momentum": 6,
    }
    assert all(counts[name].as_claimed == count for name, count in compared.items())
