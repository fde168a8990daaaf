# A panel for each objective: two parameters, and in each cell the change against the base's cell.
# Given: $P1 ... $Pn (column, row, colour, words), title_1 ... title_n, n, rows, columns, height,
# x_name, y_name, x_n, y_n, x_tics, y_tics (commands), base, machine, measured, system.
set multiplot layout rows, columns rowsfirst downwards \
  margins screen 0.095, screen 0.985, screen 55.0 / height, screen 1 - 105.0 / height \
  spacing screen 0.095, screen 88.0 / height
set label 1 '{/:Bold '.system.': '.x_name.' and '.y_name.'}, '.measured \
  at screen 0.5, screen 1 offset 0, -1.5 center font ',15'
set label 2 machine at screen 0.5, screen 1 offset 0, -3 center font ',10'
set label 3 'change against '.base.'; the lighter the better' \
  at screen 0.5, screen 1 offset 0, -4.3 center font ',10'
unset key
set style fill solid 1 border lc rgb '#444444'
set border 0
set xrange [-0.5:x_n - 0.5]
set yrange [-0.5:y_n - 0.5]
eval(x_tics)
eval(y_tics)
set xtics scale 0 font ',9'
set ytics scale 0 font ',9'
set xlabel x_name font ',9' offset 0, 0.6
set ylabel y_name font ',9' offset 0, 0
do for [i = 1:n] {
  set title '{/:Bold '.value(sprintf('title_%d', i)).'}' font ',11' offset 0, -0.7
  plot '$P'.i using 1:2:($1 - 0.5):($1 + 0.5):($2 - 0.5):($2 + 0.5):3 with boxxyerror \
         lc rgb variable, \
       '$P'.i using 1:2:4 with labels font ',11'
  unset label
}
unset multiplot
