new ResizeObserver(() => { fit(); overlays(); drawPen(); }).observe(stage);
watch("value", load);
load();
