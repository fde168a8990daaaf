# One panel a case: the share of samples that took at most so long; the median dotted.
# Given: $S1 ... $Sn (value, share), panel_1 ... panel_n (each draws one), n, rows, columns.
set multiplot layout rows, columns columnsfirst downwards \
  margins screen 0.03, screen 0.985, screen 30.0 / height, screen 1 - 100.0 / height \
  spacing screen 0.028, screen 68.0 / height
set label 1 '{/:Bold '.system.': distribution of the samples of each case}, '.measured \
  at screen 0.5, screen 1 offset 0, -1.5 center font ',15'
set label 2 machine.'  (dotted: the median; the axis ends at the 99th percentile)' at screen 0.5, screen 1 offset 0, -3 \
  center font ',10'
unset key
set yrange [0:1.03]
set ytics 0, 0.5, 1 nomirror font ',9' scale 0.5
set border 3 lc rgb '#444444'
set xtics nomirror font ',9' scale 0.5
set grid xtics ytics lc rgb '#dddddd' lw 1 dt 1
do for [i = 1:n] {
  eval(value(sprintf('panel_%d', i)))
  unset label
}
unset multiplot
