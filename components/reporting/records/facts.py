"""What only the provider of a model can state, from a YAML file."""

import difflib
from pathlib import Path

from pydantic import Field, ValidationError

from components.errors import StepError, short
from components.foreign import yaml_text
from components.params.section import Section


class Facts(Section):
    """Statements of the provider; an empty one is unknown."""

    provider: str = Field("", description="Name and contact details of the provider")
    representative: str = Field(
        "", description="Name and contact details of the authorised representative in the Union"
    )
    placed_on_market: str = Field("", description="Date on which the model was placed on the Union market")
    license: str = Field("", description="Licence of the model's weights: an SPDX identifier or a name")
    data_license: str = Field(
        "", description="Licence under which the training data is published: an SPDX identifier or URL"
    )
    data_url: str = Field("", description="Address of the page of the training data")
    data_published: str = Field(
        "", pattern=r"^(\d{4}-\d\d-\d\d)?$", description="Date on which the training data was published, as YYYY-MM-DD"
    )
    latest_data: str = Field("", description="Latest date at which training data was acquired or collected")
    other_characteristics: str = Field(
        "", description="Other characteristics of the training data, such as its regions"
    )
    public_datasets: str = Field("", description="Description of publicly available data sets among the sources")
    licensed_datasets: str = Field("", description="Yes or no: whether data sets were commercially licensed")
    private_datasets: str = Field("", description="Private data sets from other third parties, or no")
    crawlers: str = Field("", description="Whether crawlers were used: their names, purpose and behaviour, or no")
    user_data: str = Field("", description="Whether data of users of the model or of other services was used, or no")
    code_of_practice: str = Field("", description="Yes or no: whether the provider signed the Code of Practice")
    rights_reservation: str = Field(
        "", description="Measures that respect reservations of rights from text and data mining"
    )
    illegal_content: str = Field("", description="Measures against illegal content, besides those of the pipeline")

    @classmethod
    def read(cls, path: Path) -> "Facts":
        """The facts in a file.

        Raises:
            StepError: the file cannot be read, names an unknown fact, or has a value of another form.
        """
        try:
            given = yaml_text.read(path) or {}
        except (OSError, ValueError) as error:
            raise StepError(
                f"{path} cannot be read as YAML ({error}); expected lines such as `provider: Name`"
            ) from error
        if not isinstance(given, dict):
            raise StepError(f"{path} holds a {type(given).__name__}; expected lines such as `provider: Name`")
        if unknown := [key for key in given if key not in cls.model_fields]:
            near = difflib.get_close_matches(str(unknown[0]), cls.model_fields, 1) or [", ".join(cls.model_fields)]
            raise StepError(f"{path}: {short(unknown[0])} is not a fact; expected {near[0]}; correct the name")
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise StepError(
                f"{path}: {first['loc'][0]}: {first['msg']}; put text between quotes, and correct the value"
            ) from None
