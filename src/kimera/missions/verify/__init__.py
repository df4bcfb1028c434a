"""Does a report still hold?"""

from kimera.missions.verify.verification import (
    ClaimCheck,
    ComputationCheck,
    Row,
    SourceCheck,
    Verification,
    render_table,
    verify,
    verify_file,
)

__all__ = [
    "ClaimCheck",
    "ComputationCheck",
    "Row",
    "SourceCheck",
    "Verification",
    "render_table",
    "verify",
    "verify_file",
]
