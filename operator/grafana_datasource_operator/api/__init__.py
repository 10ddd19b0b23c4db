"""The custom resources: pydantic models, closed enums of reasons, CRD generation. No I/O."""
