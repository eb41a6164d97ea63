import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.trial_data import embedded

ANY_TEXT = st.text() | st.sampled_from(["</script>", "<!--<script>", "]]>", "\u2028", "&lt;", "'\"\\"])


LEAVES = st.none() | st.booleans() | st.integers() | ANY_TEXT


@given(st.recursive(LEAVES, lambda some: st.lists(some) | st.dictionaries(ANY_TEXT, some)))
def test_embedded_data_can_end_nothing_and_are_read_back_whole(data: object) -> None:
    text = str(embedded(data))
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == data


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded({"wer": math.nan})
