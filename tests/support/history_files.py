"""Files that people import: the Electricity Maps portal's CSV and our trace format; values are synthetic."""

import gzip
from pathlib import Path

NEW_COLUMNS = (
    "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),"
    "Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method"
)
OLD_COLUMNS = (
    "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
    "Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,"
    "Data Estimation Method"
)


def portal(folder: Path, *rows: str, columns: str = NEW_COLUMNS, name: str = "hourly.csv", zone: str = "DE") -> Path:
    """Rows are ``time,direct,lifecycle,estimated``; values are synthetic."""
    lines = [columns]
    for row in rows:
        time, direct, lifecycle, estimated = row.split(",")
        lines.append(f"{time},Germany,Germany,{zone},{direct},{lifecycle},50.1,40.2,entsoe.eu,{estimated},")
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trace(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    content = f"timestamp,carbon_intensity_gco2eq_per_kwh\n{text}".encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path
