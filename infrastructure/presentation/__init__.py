"""How results are shown: JSON shapes, wording, drawings and the page of an incident."""
