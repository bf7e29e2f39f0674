"""Typed parameters: every parameter of params.yaml with its default, range and help, in one model per section.

The same models check a run before any work, document params.yaml and generate the panel's form. Unknown keys
are refused, and the message suggests the nearest known key; for values out of range it contains the allowed range.
"""

from components.params.curation import CurationParams, DuplicatesParams, LanguageParams
from components.params.data import EngineParams, IngestionParams, Kind, Source, TokenizationParams, ValidationParams
from components.params.evaluation import (
    EVERYTHING,
    GROWING,
    AblationParams,
    Arm,
    BenchmarkingParams,
    DataArm,
    InterpretationParams,
    PromotionParams,
    ReportingParams,
    StudyParams,
    WithoutParams,
)
from components.params.housekeeping import HousekeepingParams, Limit
from components.params.load import (
    PARAMS_FILE,
    PROFILES,
    Params,
    check_layers,
    check_params,
    describe_range,
    flatten,
    known_keys,
    load_params,
    merge,
    parse_overrides,
    profile_names,
    read_profile,
    read_yaml,
    set_dotted,
)
from components.params.models import LARGE, SMALL, ModelParams, ModelShape, TrainingParams, TransferParams
from components.params.section import Fraction, Section
from components.params.synthesis import SynthesisParams, TeacherParams
from components.params.tuning import TuningParams

__all__ = [
    "EVERYTHING",
    "GROWING",
    "LARGE",
    "PARAMS_FILE",
    "PROFILES",
    "SMALL",
    "AblationParams",
    "Arm",
    "BenchmarkingParams",
    "CurationParams",
    "DataArm",
    "DuplicatesParams",
    "EngineParams",
    "Fraction",
    "HousekeepingParams",
    "IngestionParams",
    "InterpretationParams",
    "Kind",
    "LanguageParams",
    "Limit",
    "ModelParams",
    "ModelShape",
    "Params",
    "PromotionParams",
    "ReportingParams",
    "Section",
    "Source",
    "StudyParams",
    "SynthesisParams",
    "TeacherParams",
    "TokenizationParams",
    "TrainingParams",
    "TransferParams",
    "TuningParams",
    "ValidationParams",
    "WithoutParams",
    "check_layers",
    "check_params",
    "describe_range",
    "flatten",
    "known_keys",
    "load_params",
    "merge",
    "parse_overrides",
    "profile_names",
    "read_profile",
    "read_yaml",
    "set_dotted",
]
