"""A center that is served what it trained alone."""

from server.results.service import OnTest, OnValidation, Service

SERVICE = Service(
    center="a",
    better_alone=True,
    own=True,
    adapter="a/0003",
    reason="its own: federation changes by -0.2000 on 4 validation cases, beyond their noise",
    validation=(OnValidation("segmentation", 4, 0.5, 0.7, -0.2, 0.01, -0.18),),
    test=OnTest("ct+pet", 3, 0.625, 0.75, -0.125),
    federated_sha256="ab" * 32,
    alone_sha256="cd" * 32,
)
