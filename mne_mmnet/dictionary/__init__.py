"""The source space as a graph: distances, regions and patches on it, the lead field on these."""
