"""What the HTML pages of coordinator, center and comparison share: one head, one style sheet, the formats of numbers.

A template says `{% extends "page.html" %}` and fills the blocks `title`, `page` and, where it needs more, `style`.
"""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from reporting.formats import difference, duration, figure, label, size, words

FILTERS = (difference, duration, figure, label, size, words)


def open_templates(package: str) -> Environment:
    """The templates of a package, which may use those that all pages share; what a page names must be given to it."""
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("reporting")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters.update({form.__name__: form for form in FILTERS})
    return environment
