"""What a study asks for where its coordinator is to see sums of centers alone."""

from typing import Annotated

from pydantic import Field

from protocol.messages.base import Settings


class SecureAggregation(Settings):
    """That the coordinator sees sums alone. fewest: centers that must stand behind each of them."""

    fewest: Annotated[int, Field(ge=3, le=64)] = 3
