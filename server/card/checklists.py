"""What reporting guidelines ask for, item by item, and which facts of a card answer it; what none answers is open.

TRIPOD+AI   Collins et al. 2024, BMJ 385:e078378: 27 items, some in parts
CLAIM       Tejani et al. 2024, Radiology: Artificial Intelligence 6(4):e240300: 44 items

Topics are named in our own words; the guidelines say what belongs under each. An answer is made of the card, or is ""
where the card says nothing; what an item asks for beyond its answer is named as left. No table here knows whether a
study is a good one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.card import answers as say

Card = Mapping[str, Any]
Answer = Callable[[Card], str]


@dataclass(frozen=True)
class Item:
    """One item: number, topic, what answers it (None where no fact of a study can), and what that leaves open."""

    number: str
    topic: str
    answer: Answer | None = None
    left: str = ""


TRIPOD_AI: Sequence[Item] = (
    Item("1", "title", say.title),
    Item("2", "abstract"),
    Item("3a", "clinical context and earlier models"),
    Item("3b", "intended patients, purpose and users", say.purpose, "intended patients and users"),
    Item("3c", "known inequalities of health"),
    Item("4", "objectives: development or evaluation", say.objective, "hypotheses"),
    Item("5a", "sources of data", say.sources, "why these sources, and whom they represent"),
    Item("5b", "dates of the data"),
    Item("6a", "setting and number of centers", say.centers, "where the centers are"),
    Item("6b", "who was eligible"),
    Item("6c", "treatments"),
    Item("7", "preparation and checks of data", say.preparation),
    Item("8a", "outcome: what is predicted", say.outcome, "how the reference was made, and when"),
    Item("8b", "who assessed the outcome"),
    Item("8c", "blinding of the outcome's assessment"),
    Item("9a", "choice of predictors", say.predictors, "why these"),
    Item("9b", "definition of predictors", say.predictors),
    Item("9c", "who assessed the predictors"),
    Item("10", "how the size of the study came about"),
    Item("11", "missing data", say.missing, "labels and covariates that are missing"),
    Item("12a", "use of the data for training and evaluation", say.partitions),
    Item("12b", "handling of predictors", say.preparation),
    Item("12c", "type of model and how it was built", say.training),
    Item("12d", "differences between centers in the analysis", say.heterogeneity_method),
    Item("12e", "measures of performance", say.metrics),
    Item("12f", "updating of the model", say.updating),
    Item("12g", "how predictions are made", say.prediction),
    Item("13", "imbalance of classes"),
    Item("14", "approaches to fairness"),
    Item("15", "what the model gives out", say.output),
    Item("16", "training and evaluation data compared", say.partitions, "differences beyond counts"),
    Item("17", "ethical approval"),
    Item("18a", "funding"),
    Item("18b", "conflicts of interest"),
    Item("18c", "protocol", say.protocol, "where a protocol can be read"),
    Item("18d", "registration"),
    Item("18e", "availability of data", say.data_sharing, "conditions of access"),
    Item("18f", "availability of code", say.software),
    Item("19", "involvement of patients and public"),
    Item("20a", "flow of participants", say.counts, "who was left out, and why"),
    Item("20b", "characteristics of participants"),
    Item("20c", "predictors in development and evaluation compared"),
    Item("21", "participants and events in each analysis", say.counts, "events"),
    Item("22", "the full model, to be used by others", say.specification),
    Item("23a", "performance with intervals", say.performance, "intervals"),
    Item("23b", "performance by center", say.performance),
    Item("24", "results of updating", say.updating),
    Item("25", "interpretation"),
    Item("26", "limitations", say.limitations),
    Item("27a", "input of poor quality or absent", say.missing, "images of poor quality"),
    Item("27b", "users: interaction and expertise"),
    Item("27c", "further research"),
)

CLAIM: Sequence[Item] = (
    Item("1", "title with the kind of technology", say.title),
    Item("2", "abstract"),
    Item("3", "background and intended use", say.purpose, "clinical background and intended role"),
    Item("4", "aims and hypotheses", say.objective, "hypotheses"),
    Item("5", "prospective or retrospective"),
    Item("6", "goal of the study", say.objective),
    Item("7", "sources of data", say.sources, "why these sources"),
    Item("8", "who was eligible"),
    Item("9", "preprocessing", say.preparation),
    Item("10", "selection of subsets"),
    Item("11", "de-identification", say.deidentification, "how images were de-identified at each center"),
    Item("12", "missing data", say.missing, "labels and covariates that are missing"),
    Item("13", "acquisition of images"),
    Item("14", "method of the reference standard", say.reference_standard, "how it was made"),
    Item("15", "why this reference standard"),
    Item("16", "source of annotations"),
    Item("17", "annotation of the test set"),
    Item("18", "variability between and within readers"),
    Item("19", "assignment to partitions", say.partitions),
    Item("20", "level at which partitions are disjoint", say.disjoint),
    Item("21", "intended size of the sample"),
    Item("22", "description of the model", say.specification),
    Item("23", "libraries and packages", say.software),
    Item("24", "initialisation of parameters", say.initialisation),
    Item("25", "training", say.training),
    Item("26", "selection of the final model", say.selection),
    Item("27", "ensembles", say.prediction),
    Item("28", "metrics", say.metrics),
    Item("29", "significance and uncertainty"),
    Item("30", "robustness", say.heterogeneity_method, "an analysis beyond centers and inputs"),
    Item("31", "explanations"),
    Item("32", "evaluation on internal data", say.performance),
    Item("33", "evaluation on external data", say.external),
    Item("34", "registration as a trial"),
    Item("35", "numbers of patients, included and excluded", say.counts, "who was left out, and why"),
    Item("36", "demographics and clinical characteristics"),
    Item("37", "performance in each partition", say.performance),
    Item("38", "performance and its precision", say.performance, "intervals"),
    Item("39", "analysis of failures"),
    Item("40", "limitations", say.limitations),
    Item("41", "implications for practice"),
    Item("42", "protocol", say.protocol, "where a protocol can be read"),
    Item("43", "availability of software, model and data", say.data_sharing, "conditions of access"),
    Item("44", "funding"),
)

CHECKLISTS: Mapping[str, Sequence[Item]] = {"TRIPOD+AI": TRIPOD_AI, "CLAIM 2024": CLAIM}


def fill(card: Card) -> dict[str, list[dict[str, str]]]:
    """Each item of each guideline with its answer: `filled`, `partly` where something is left, or `open`."""
    return {name: [_filled(item, card) for item in items] for name, items in CHECKLISTS.items()}


def _filled(item: Item, card: Card) -> dict[str, str]:
    text = item.answer(card) if item.answer else ""
    state = "open" if not text else "partly" if item.left else "filled"
    return {"item": item.number, "topic": item.topic, "state": state, "text": text, "left": item.left if text else ""}
