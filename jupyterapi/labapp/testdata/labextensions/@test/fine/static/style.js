var style;
