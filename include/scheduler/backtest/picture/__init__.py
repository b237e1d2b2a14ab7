"""The picture of a backtest. matplotlib is imported by drawing one, not by importing this."""

from include.scheduler.backtest.picture.drawing import check_picture_path, draw

__all__ = ["check_picture_path", "draw"]
